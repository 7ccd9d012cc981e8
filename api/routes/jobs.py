"""Jobs: list, get, create, change, pause, resume, delete, run now, audit trail, explain."""

import asyncio
import re
from functools import partial
from typing import Any, Final

import msgspec
from litestar import Request, delete, get, patch, post
from litestar.types import ASGIApp
from msgspec import UNSET

from api import answers, job_making, job_rendering, parameters, recorded, wire
from api.answers import Answered
from api.auth import Caller
from api.job_making import Made
from api.ledger import Ledger, key_of, of
from api.problems import Problem, invalid
from api.routes.executions import Nothing, answer_created, first_answer
from api.routes.executions import created as created_execution
from api.wire_jobs import (
    ChangeJob,
    CreateJob,
    Job,
    JobAuditTrail,
    JobList,
)
from domain import errors, ids, job_commands
from domain.execution import Execution
from domain.job import CronJob
from domain.names import is_name
from projections import executions, job_queries, jobs, queries
from projections.job_queries import JobFilter, JobView
from projections.queries import Texts, View
from store.work import Answer, IdempotencyKey, Work

PATH: Final = "/v1/cron-jobs"
LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 100
# How often a change is begun anew because somebody else changed the job meanwhile.
_ATTEMPTS: Final = 5
_ONE: Final = PATH + "/{job_id:str}"
_TAG: Final = re.compile(r'"([0-9]{1,9})"\Z')

Req = Request[Any, Any, Any]


@get(PATH)
async def list_jobs(request: Req) -> ASGIApp:
    """List jobs, newest first."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    values = parameters.query(request, ("tag", "is_enabled", "agent_id", "q", "limit", "offset"))
    single = {key: given[0] for key, given in values.items()}
    chosen = JobFilter(
        tag=single.get("tag"),
        is_enabled=parameters.boolean(values, "is_enabled") if "is_enabled" in values else None,
        agent_id=single.get("agent_id"),
        name=single.get("q"),
    )
    limit = parameters.integer(values, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX)
    offset = parameters.integer(values, "offset", 0, 0, parameters.OFFSET_MAX)
    page = await job_queries.page(ledger.pool, chosen, limit=limit, offset=offset)
    # When each runs next is computed, some 100 µs each: not while others wait.
    shown = await asyncio.to_thread(job_rendering.jobs, page.jobs, ledger.keys, wire.now())
    pagination = wire.Pagination(
        limit=limit,
        offset=offset,
        total=page.total,
        total_is_exact=True,
        has_more=offset + len(shown) < page.total,
        next_cursor=None,
    )
    return answers.json(JobList(shown, pagination))


@get(PATH + "/explain")
async def explain_schedule(request: Req) -> ASGIApp:
    """Explain a schedule: as cron, in words, and the next ten times."""
    await of(request).authenticator.require(request, "read")
    values = parameters.query(request, ("schedule", "timezone"))
    if "schedule" not in values:
        raise invalid("schedule", "is required")
    schedule = values["schedule"][0]
    cron = job_making.cron_of("schedule", schedule)
    timezone = parameters.time_zone("timezone", values.get("timezone", ["UTC"])[0])
    explained = await asyncio.to_thread(
        job_rendering.explanation, schedule, cron, timezone, wire.now()
    )
    return answers.json(explained)


@get(_ONE)
async def get_job(request: Req) -> ASGIApp:
    """Return one job."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    parameters.query(request, ())
    return _answered(ledger, await job_of(ledger, job_id_of(request)))


@post(PATH)
async def create_job(request: Req) -> ASGIApp:
    """Define a job."""
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "jobs")
    parameters.query(request, ())
    asked = await parameters.body(request, CreateJob)
    made = job_making.made(ledger, asked)
    await _check_name(ledger, made)
    last = await job_queries.last_run(ledger.pool, made.job_id)
    command = job_commands.CreateJob(
        **_stamp(ledger, caller, made.job_id),
        job_id=made.job_id,
        definition=made.definition_digest,
        configuration=made.configuration_digest,
        plan=made.plan,
        is_enabled=asked.is_enabled,
    )

    def render(state: CronJob) -> Answer:
        bodies = (made.definition.body, made.configuration.body)
        view = JobView(jobs.row(state, 0), *bodies, last)
        shown = job_rendering.job(view, ledger.keys, command.at)
        return Answer(state.id, 201, f"{PATH}/{shown.id}", answers.encoded(shown))

    done = await ledger.appender.submit(
        Work(
            command,
            configuration=made.configuration,
            definition=made.definition,
            key=key_of(request, caller, "Idempotency-Key", asked),
            render=render,
        )
    )
    answer = done.replayed
    if answer is None:
        assert done.job is not None  # noqa: S101 - a create makes one or is refused
        answer = render(done.job)
    if answer.body is None:  # it showed what was erased since
        return _answered(ledger, await job_of(ledger, made.job_id), 201, answer.location)
    return answers.json(answer.body, answer.status, {"Location": answer.location or PATH})


@patch(_ONE)
async def change_job(request: Req) -> ASGIApp:
    """Change a job: what the body leaves out stays as it is."""
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "jobs")
    parameters.query(request, ())
    asked = await parameters.body(request, ChangeJob)
    expected = _expected(request, asked.version)
    for attempt in range(1, _ATTEMPTS + 1):
        view = await job_of(ledger, job_id_of(request))
        made = job_making.made(ledger, job_making.merged(ledger, view, asked))
        await _check_name(ledger, made)
        command = job_commands.ChangeJob(
            **_stamp(ledger, caller, made.job_id),
            definition=made.definition_digest,
            configuration=made.configuration_digest,
            plan=made.plan,
            is_enabled=None if asked.is_enabled is UNSET else asked.is_enabled,
            # What was left out is as it was read: the change holds only for that.
            expected_version=view.row.version if expected is None else expected,
        )
        work = Work(command, configuration=made.configuration, definition=made.definition)
        try:
            await _submitted(ledger, request, work)
            break
        except errors.JobChangedMeanwhile:
            if expected is not None or attempt == _ATTEMPTS:
                raise
    return _answered(ledger, await job_of(ledger, job_id_of(request)))


@delete(_ONE, status_code=200)  # litestar lets a 204 return nothing; ours is one nevertheless
async def delete_job(request: Req) -> ASGIApp:
    """Delete a job; what it ran, and its audit trail, stay."""
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "jobs")
    parameters.query(request, ())
    command = job_commands.DeleteJob(
        **_stamp(ledger, caller, job_id_of(request)), expected_version=_expected(request)
    )
    await _submitted(ledger, request, Work(command))
    return answers.empty()


@post(_ONE + "/pause")
async def pause_job(request: Req) -> ASGIApp:
    """Pause a job: it is due no more until it is resumed."""
    return await _switched(request, job_commands.PauseJob)


@post(_ONE + "/resume")
async def resume_job(request: Req) -> ASGIApp:
    """Resume a job: it is due again, from now on."""
    return await _switched(request, job_commands.ResumeJob)


async def _switched(
    request: Req, kind: type[job_commands.PauseJob | job_commands.ResumeJob]
) -> Answered:
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "jobs")
    parameters.query(request, ())
    await parameters.body(request, Nothing)
    work = switching(ledger, caller, job_id_of(request), kind, _expected(request))
    await _submitted(ledger, request, work)
    return _answered(ledger, await job_of(ledger, job_id_of(request)))


def switching(
    ledger: Ledger,
    caller: Caller,
    job_id: str,
    kind: type[job_commands.PauseJob | job_commands.ResumeJob],
    expected_version: int | None = None,
) -> Work:
    """Return the work that pauses or resumes a job."""
    return Work(kind(**_stamp(ledger, caller, job_id), expected_version=expected_version))


@post(_ONE + "/run")
async def run_job(request: Req) -> ASGIApp:
    """Run a job now, enabled or paused: create an execution with its configuration."""
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "operate")
    parameters.query(request, ())
    await parameters.body(request, Nothing)
    key = key_of(request, caller, "Idempotency-Key", None)
    return await run_now(ledger, caller, job_id_of(request), key)


async def run_now(
    ledger: Ledger, caller: Caller, job_id: str, key: IdempotencyKey | None
) -> Answered:
    """Run a job, and return the answer that shows the new execution (or the kept answer)."""
    for attempt in range(1, _ATTEMPTS + 1):
        view = await job_of(ledger, job_id)
        texts = Texts(configuration=view.configuration)
        command = job_commands.RunJob(
            **_stamp(ledger, caller, view.row.job_id),
            new_id=ledger.new_id(),
            # The answer shows the configuration that was read.
            expected_version=view.row.version,
        )

        def render(state: Execution, texts: Texts = texts) -> Answer:
            return created_execution(View(executions.row(state, 0), texts))

        try:
            work = Work(
                command,
                key=key,
                render=render,
                needed=view.row.configuration,
                answering=partial(first_answer, render=render),
            )
            done = await ledger.appender.submit(work)
        except errors.JobChangedMeanwhile:
            if attempt == _ATTEMPTS:
                raise
        else:
            break
    return await answer_created(ledger, done)


@get(_ONE + "/events")
async def job_events(request: Req) -> ASGIApp:
    """Return the audit trail of one job, also of one that was deleted."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    parameters.query(request, ())
    stream = ids.job_stream(job_id_of(request))
    entries = await queries.events(ledger.pool, stream)
    if not entries:
        raise errors.JobNotFound
    return answers.json(JobAuditTrail(recorded.job_trail(stream, entries)))


# ------------------------------------------------------------------------------------------ steps


def job_id_of(request: Req) -> str:
    """Return the id in the path. What is no id is not there either: 404."""
    job_id: str = request.scope["path_params"]["job_id"]
    if not is_name(job_id):
        raise errors.JobNotFound
    return job_id


async def job_of(ledger: Ledger, job_id: str) -> JobView:
    """Return one job. Raises `JobNotFound`."""
    view = await job_queries.one(ledger.pool, job_id)
    if view is None:
        raise errors.JobNotFound
    return view


async def _check_name(ledger: Ledger, made: Made) -> None:
    """Refuse the name of which another job has the id: executions of that name are its history."""
    owner = ids.derived_job_id(made.name)
    if owner != made.job_id and await job_queries.one(ledger.pool, owner) is not None:
        raise errors.JobNameTaken(job_id=owner)


def _stamp(ledger: Ledger, caller: Caller, job_id: str) -> dict[str, Any]:
    return {
        "at": wire.now(),
        "by": caller.actor,
        "command_id": ledger.new_id(),
        "stream_id": ids.job_stream(job_id),
    }


def _expected(request: Req, version: int | msgspec.UnsetType = UNSET) -> int | None:
    """Return at which version the job must be, by If-Match or by the body; None if at any."""
    header = parameters.header(request, "if-match")
    if header is None or header.strip() == "*":
        return None if version is UNSET else version
    found = _TAG.match(header.strip())
    if found is None:
        raise invalid("If-Match", 'must be the ETag of one version, such as "3", or *')
    if version not in {UNSET, int(found[1])}:
        raise invalid("version", "is another than that of If-Match")
    return int(found[1])


async def _submitted(ledger: Ledger, request: Req, work: Work) -> None:
    """Hand in a change. A condition of the header that does not hold is a 412."""
    try:
        await ledger.appender.submit(work)
    except errors.JobChangedMeanwhile as refusal:
        header = parameters.header(request, "if-match")
        if header is None or header.strip() == "*":
            raise
        raise Problem(412, "precondition_failed", str(refusal)) from refusal


def _answered(
    ledger: Ledger, view: JobView, status: int = 200, location: str | None = None
) -> Answered:
    shown: Job = job_rendering.job(view, ledger.keys, wire.now())
    headers = {"ETag": f'"{shown.version}"'}
    if location is not None:
        headers["Location"] = location
    return answers.json(shown, status, headers)


HANDLERS: Final = (
    list_jobs,
    explain_schedule,
    get_job,
    create_job,
    change_job,
    delete_job,
    pause_job,
    resume_job,
    run_job,
    job_events,
)
