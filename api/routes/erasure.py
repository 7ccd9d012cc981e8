"""Bodies that go: erasure by hand, and what retention takes."""

from typing import Any, Final
from uuid import UUID

from litestar import Request, get, post
from litestar.types import ASGIApp

from api import answers, parameters, rendering, wire, wire_erasure
from api.ledger import Ledger, of
from api.routes import jobs
from api.routes.executions import PATH
from domain import commands, errors, ids, job_commands, job_events
from projections import erasing, queries
from projections.queries import View
from store import mapper
from store.work import Work

# How often an erasure is begun anew because somebody changed the job meanwhile.
_ATTEMPTS: Final = 5

Req = Request[Any, Any, Any]


@post(PATH + "/{execution_id:str}/erase")
async def erase_bodies(request: Req) -> ASGIApp:
    """Erase output, messages or configuration of an execution that has ended."""
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "admin")
    parameters.query(request, ())
    asked = await parameters.body(request, wire_erasure.EraseBodies)
    view = await ledger.view(parameters.execution_id(request))
    # What is gone already need not go again, though another execution might bring it back.
    configuration = "configuration" in asked.bodies and view.texts.configuration is not None
    command = commands.Erase(
        at=wire.now(),
        by=caller.actor,
        command_id=ledger.new_id(),
        execution_id=view.row.id,
        reason=asked.reason,
        output="output" in asked.bodies,
        messages="messages" in asked.bodies,
        configuration_of=ids.job_stream(view.row.job_id) if configuration else None,
    )
    if configuration:
        await _check_shared(ledger, view, shared=asked.shared)
    await ledger.appender.submit(
        Work(command, needed=view.row.configuration if configuration else None)
    )
    # At this point they are gone, in one transaction with the event that says so.
    view = await ledger.view(view.row.id)
    return answers.json(rendering.execution(view, wire.now()))


async def _check_shared(ledger: Ledger, view: View, *, shared: bool) -> None:
    """Refuse to take from others what they were not named for; forget answers that show it.

    Under the append lock it is judged again whether a job runs with it; here it is said before
    anybody is asked to say `shared`. Whoever comes to share it from now on brings it along, and is
    counted only if it is pending still when this is recorded.
    """
    if (job_id := await erasing.job_with(ledger.pool, view.row)) is not None:
        raise errors.ConfigurationOfJob(job_id=job_id)
    others = await erasing.sharers(ledger.pool, view.row)
    if others and not shared:
        raise errors.ConfigurationShared(others=_count(others))
    # Before the erasure: if that fails they are built anew, which is no loss.
    await erasing.forget_answers(ledger.pool, view.row)


@post(jobs.PATH + "/{job_id:str}/erase")
async def erase_job_texts(request: Req) -> ASGIApp:
    """Erase the texts that a job had and has no more; of a deleted one all."""
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "admin")
    parameters.query(request, ())
    asked = await parameters.body(request, wire_erasure.EraseJobTexts)
    job_id = jobs.job_id_of(request)
    stream = ids.job_stream(job_id)
    for attempt in range(1, _ATTEMPTS + 1):
        version, former = await _former_texts(ledger, stream)
        kept, naming = await erasing.kept_of_job(ledger.pool, job_id, former)
        if naming and not asked.shared:
            raise errors.ConfigurationShared(others=_count(naming))
        await erasing.forget_answers_of_job(ledger.pool, stream, job_id, kept)
        command = job_commands.EraseJob(
            at=wire.now(),
            by=caller.actor,
            command_id=ledger.new_id(),
            stream_id=stream,
            reason=asked.reason,
            bodies=tuple(kept),
            # What it has no more was told by the events that were read.
            expected_version=version,
        )
        try:
            await ledger.appender.submit(Work(command))
            break
        except errors.JobChangedMeanwhile:
            if attempt == _ATTEMPTS:
                raise
    return answers.json(wire_erasure.ErasedJobTexts(job_id, len(kept)))


async def _former_texts(ledger: Ledger, stream: UUID) -> tuple[int, list[str]]:
    """Return the version of a job, and the digests of all texts that it had and has no more.

    Raises `JobNotFound`, or `UnreadableHistory`.
    """
    entries = await queries.events(ledger.pool, stream)
    if not entries:
        raise errors.JobNotFound
    had: set[str] = set()
    has: set[str] = set()
    for entry in entries:
        try:
            event = mapper.decode(entry.type, entry.schema_version, entry.payload)
        except mapper.UnreadableEvent as error:
            raise errors.UnreadableHistory(reason=str(error)) from error
        if isinstance(event, job_events.JobCreated | job_events.JobChanged):
            has = {event.configuration.sha256, event.definition.sha256}
        elif isinstance(event, job_events.JobDeleted):
            has = set()
        had |= has
    return entries[-1].version, sorted(had - has)


def _count(executions: int) -> str:
    is_all = executions < erasing.SHARERS_MAX
    return str(executions) if is_all else f"{executions} or more"


@get("/v1/retention")
async def show_retention(request: Req) -> ASGIApp:
    """Say how long output is kept, how much there is, and what is due to go."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    parameters.query(request, ())
    policy = ledger.settings.retention
    success, failure = await erasing.sums(ledger.pool, policy)
    return answers.json(
        wire_erasure.Retention(
            success=_class(policy.success_days, policy.success_bytes, success),
            failure=_class(policy.failure_days, policy.failure_bytes, failure),
        )
    )


def _class(
    days: float | None, bytes_max: int | None, sums: erasing.Sums
) -> wire_erasure.RetainedClass:
    return wire_erasure.RetainedClass(
        days=days,
        bytes_max=bytes_max,
        kept_executions=sums.kept_executions,
        kept_bytes=sums.kept_bytes,
        due_executions=sums.due_executions,
        due_bytes=sums.due_bytes,
    )


HANDLERS: Final = (erase_bodies, erase_job_texts, show_retention)
