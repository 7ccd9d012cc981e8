"""How executions come to be: the request, its many ways to be wrong, and the command it becomes."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from litestar import Request, post
from litestar.types import ASGIApp
from msgspec import UNSET

from api import answers, parameters, wire
from api.answers import Answered
from api.ledger import Ledger, check_agent, key_of, of
from api.problems import invalid
from api.routes.executions import PATH, answer_created, created, first_answer, location
from domain import commands, ids
from domain.commands import Create
from domain.events import BodyDigest
from domain.execution import Execution
from projections import executions
from projections.queries import Texts, View
from store import configurations
from store.configurations import Job
from store.work import Answer, Configuration, Done, Work

_CLOCK_SLACK: Final = timedelta(seconds=60)
_SECRET_CHARACTERS_MIN: Final = 6
_TIMEOUT_DEFAULT: Final = 300
# Configurations are read many at a time by claims.
_CONFIGURATION_BYTES_MAX: Final = 256 * 1024

Req = Request[Any, Any, Any]


@post(PATH)
async def create_execution(request: Req) -> ASGIApp:
    """Create a pending execution; with `claim`, the caller's agent starts it at once."""
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "operate")
    parameters.query(request, ())
    asked = await parameters.body(request, wire.CreateExecution)
    if asked.claim is not None:
        await ledger.authenticator.require(request, "agent")
        check_agent(caller, asked.claim.agent_id)
    job = job_of(asked, ledger.settings.timeout_seconds_max)
    configuration, digest = sealed(ledger, job)
    command = _command(ledger, caller.actor, asked, job, digest)

    def render(state: Execution) -> Answer:
        if asked.claim is not None:
            return Answer(state.id, 201)  # built anew each time: it holds a lease
        view = View(executions.row(state, 0), Texts(configuration=configuration.body))
        return created(view)

    key = key_of(request, caller, "Idempotency-Key", asked)
    work = Work(
        command,
        fresh=asked.id is UNSET,
        configuration=configuration,
        key=key,
        render=render,
        expected=job.expected_schedule is not None,
        answering=None if asked.claim is not None else partial(first_answer, render=render),
    )
    done = await ledger.appender.submit(work)
    if done.changed:
        ledger.configurations.keep(configuration.digest, configuration.body)
    if asked.claim is not None:
        return await _created_and_claimed(ledger, done)
    return await answer_created(ledger, done)


def sealed(ledger: Ledger, job: Job) -> tuple[Configuration, BodyDigest]:
    """Return what is run as it is stored. Raises `Problem` 400 if it is too large."""
    configuration, digest = configurations.seal(job, ledger.keys)
    if digest.bytes > _CONFIGURATION_BYTES_MAX:
        raise invalid(
            "body", f"command and environment together may have {_CONFIGURATION_BYTES_MAX} bytes"
        )
    return configuration, digest


async def _created_and_claimed(ledger: Ledger, done: Done) -> Answered:
    claimed = await ledger.leased(done, at_birth=True)
    return answers.json(claimed, 201, {"Location": location(claimed.execution.id)})


def _command(
    ledger: Ledger, actor: str, asked: wire.CreateExecution, job: Job, configuration: BodyDigest
) -> Create:
    client_made, now = _client_made_id(asked), wire.now()
    started_at = _started_at(asked, client_made, now)
    return commands.Create(
        # What is told of late happened when its id was made.
        at=now if client_made is None or started_at is None else ids.created_at(client_made),
        by=actor,
        command_id=ledger.new_id(),
        execution_id=client_made or ledger.new_id(),
        job_id=job.job_id,
        configuration=configuration,
        triggered_by=asked.triggered_by,
        timeout_seconds=job.timeout_seconds,
        scheduled_for=(
            parameters.moment("scheduled_for", asked.scheduled_for)
            if asked.scheduled_for is not None
            else None
        ),
        pinned_agent_id=asked.pinned_agent_id,
        claim_agent_id=asked.claim.agent_id if asked.claim else None,
        started_at=started_at,
        labels=labels_of(asked.labels),
        start_deadline_seconds=asked.start_deadline_seconds,
    )


def _client_made_id(asked: wire.CreateExecution) -> UUID | None:
    if asked.id is UNSET:
        return None
    value = ids.from_text(ids.EXECUTION, asked.id)
    if value is None or not ids.is_uuid7(value):
        raise invalid("id", "must be a TypeID: exec_ and the 26 characters of a UUIDv7")
    if value > ids.lowest_at(wire.now() + _CLOCK_SLACK):
        raise invalid("id", "lies in the future: its first part is the time of creation")
    return value


def _started_at(
    asked: wire.CreateExecution, client_made: UUID | None, now: datetime
) -> datetime | None:
    """Return when the claiming agent says it began, between the time of the id and now.

    A clock that was set meanwhile must not cost the record. Raises `Problem` 400 without an id.
    """
    if asked.claim is None or asked.claim.started_at is None:
        return None
    field = "claim.started_at"
    started_at = parameters.moment(field, asked.claim.started_at)
    if client_made is None:
        raise invalid(field, "can be given only together with an id that was made at that time")
    made_at = ids.created_at(client_made)
    return max(made_at, min(started_at, now))


def labels_of(asked: Sequence[str]) -> tuple[str, ...]:
    """Return labels as they are kept: sorted, each once. Raises `Problem` 400."""
    return tuple(sorted({parameters.name("labels", label) for label in asked}))


def job_of(asked: wire.CreateExecution, timeout_seconds_max: int) -> Job:
    """Return what is to be run. Raises `Problem` 400 that names the field."""
    job_name = parameters.title("job_name", asked.job_name)
    if asked.job_id is not UNSET:
        job_id = parameters.name("job_id", asked.job_id)
    else:
        job_id = ids.derived_job_id(job_name)
    if asked.pinned_agent_id is not None:
        parameters.name("pinned_agent_id", asked.pinned_agent_id)
    if asked.claim is not None:
        parameters.name("claim.agent_id", asked.claim.agent_id)
        if asked.labels:
            raise invalid("labels", "cannot be given together with claim, which says who runs it")
    _check_schedule(asked)
    words = (asked.command,) if isinstance(asked.command, str) else asked.command
    for word in words:
        parameters.text("command", word)
    if not words[0].strip():
        raise invalid("command", "must not be empty")
    for variable, value in asked.environment.items():
        parameters.variable("environment", variable)
        parameters.text(f"environment.{variable}", value)
    hidden = {}
    for variable in asked.secrets:
        if variable not in asked.environment:
            raise invalid("secrets", f"{variable} is not a variable of environment")
        hidden[variable] = asked.environment[variable]
    plain = {name: value for name, value in asked.environment.items() if name not in hidden}
    shown = [job_name, job_id, *words, *plain, *plain.values(), asked.working_dir or ""]
    shown += [*asked.labels, asked.pinned_agent_id or "", asked.expected_schedule or ""]
    check_secrets_hidden(hidden, shown)
    return Job(
        job_id=job_id,
        job_name=job_name,
        command=asked.command,
        timeout_seconds=_timeout(asked, timeout_seconds_max),
        working_dir=asked.working_dir and parameters.text("working_dir", asked.working_dir),
        environment=plain,
        secrets=hidden,
        stop_when_cut_off=asked.stop_when_cut_off,
        expected_schedule=asked.expected_schedule,
        expected_timezone=asked.expected_timezone,
    )


def _check_schedule(asked: wire.CreateExecution) -> None:
    if asked.expected_schedule is not None:
        parameters.schedule("expected_schedule", asked.expected_schedule)
    if asked.expected_timezone is not None:
        if asked.expected_schedule is None:
            raise invalid("expected_timezone", "says nothing without expected_schedule")
        parameters.time_zone("expected_timezone", asked.expected_timezone)


def check_secrets_hidden(hidden: Mapping[str, str], shown: Iterable[str]) -> None:
    """Raise `Problem` 400 if the value of a secret stands in a text that is shown."""
    shown = list(shown)
    for variable, value in hidden.items():
        if len(value) >= _SECRET_CHARACTERS_MIN and any(value in text for text in shown):
            raise invalid(
                "secrets",
                f"the value of {variable} stands in the open in job_name, command, working_dir or "
                f"another variable; write ${variable} there",
            )


def _timeout(asked: wire.CreateExecution, timeout_seconds_max: int) -> int | None:
    timeout = asked.timeout_seconds
    if timeout is UNSET:
        return None if asked.claim is not None else _TIMEOUT_DEFAULT
    if timeout is None:
        if asked.claim is None:
            raise invalid("timeout_seconds", "can be null only together with claim")
        return None
    # Who claims at birth runs the command itself, and does not take a slot of anyone's agent.
    if timeout > timeout_seconds_max and asked.claim is None:
        raise invalid("timeout_seconds", f"must be at most {timeout_seconds_max}")
    return timeout


HANDLERS: Final = (create_execution,)
