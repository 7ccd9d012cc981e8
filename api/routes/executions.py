"""Executions for people and programs: create, list, get, retry, cancel, audit trail."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Request, get, post
from litestar.types import ASGIApp
from msgspec import UNSET, Struct

from api import answers, parameters, rendering, wire
from api.answers import Answered
from api.ledger import Ledger, check_agent, key_of, of
from api.problems import invalid, not_found
from domain import commands, ids
from domain.execution import Execution
from projections import executions, queries
from projections.queries import Texts, View
from store import configurations, output
from store.configurations import Job
from store.work import Answer, Done, Work

PATH: Final = "/v1/cron-executions"
_ONE: Final = PATH + "/{execution_id:str}"
_CLOCK_SLACK: Final = timedelta(seconds=60)
_SECRET_CHARACTERS_MIN: Final = 6
_TIMEOUT_DEFAULT: Final = 300
_INLINE_BYTES: Final = 256 * 1024
# Configurations are read many at a time by claims.
_CONFIGURATION_BYTES_MAX: Final = 256 * 1024
# Fields of events that name executions: the database holds UUIDs, people see ids.
_EXECUTION_IDS: Final = frozenset({"root_id", "retry_of", "retried_as"})


class Nothing(Struct, forbid_unknown_fields=True):
    """The body of a request that says everything in its path."""


Req = Request[Any, Any, Any]


@get(PATH)
async def list_executions(request: Req) -> ASGIApp:
    """List executions, newest first."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    asked = parameters.list_query(request)
    page = await queries.page(ledger.pool, asked.chosen, limit=asked.limit, offset=asked.offset)
    now = wire.now()
    cursor = parameters.cursor(asked.chosen, page.rows[-1].row.id) if page.has_more else None
    pagination = wire.Pagination(
        limit=asked.limit,
        offset=asked.offset,
        total=page.total,
        total_is_exact=page.total_is_exact,
        has_more=page.has_more,
        next_cursor=cursor,
    )
    rows = [rendering.execution(view, now) for view in page.rows]
    return answers.json(wire.ExecutionList(rows, pagination))


@get(_ONE)
async def get_execution(request: Req) -> ASGIApp:
    """Return one execution with its full output and error logs."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    parameters.query(request, ())
    view = await ledger.view(parameters.execution_id(request))
    row, texts = view.row, view.texts
    kept = []
    for stream, stored, sealed in (
        ("stdout", texts.stdout, row.stdout_kept_bytes),
        ("stderr", texts.stderr, row.stderr_kept_bytes),
    ):
        has_any = stored.kept_bytes > 0 and sealed != 0
        kept.append(await output.read(ledger.pool, row.id, stream, sealed) if has_any else b"")
    if len(kept[0]) + len(kept[1]) > _INLINE_BYTES:
        # Megabytes of output take long enough to encode to hold up every other request.
        return answers.json(await asyncio.to_thread(_detailed, view, kept[0], kept[1]))
    return answers.json(_detailed(view, kept[0], kept[1]))


def _detailed(view: View, stdout: bytes, stderr: bytes) -> bytes:
    return answers.encoded(rendering.detail(view, stdout, stderr, wire.now()))


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
    now = wire.now()
    job = _job(asked, ledger.settings.timeout_seconds_max)
    configuration, digest = configurations.seal(job, ledger.keys)
    if digest.bytes > _CONFIGURATION_BYTES_MAX:
        raise invalid(
            "body", f"command and environment together may have {_CONFIGURATION_BYTES_MAX} bytes"
        )
    command = commands.Create(
        at=now,
        by=caller.actor,
        command_id=ledger.new_id(),
        execution_id=_client_made_id(asked) or ledger.new_id(),
        job_id=job.job_id,
        configuration=digest,
        triggered_by=asked.triggered_by,
        timeout_seconds=job.timeout_seconds,
        scheduled_for=(
            parameters.moment("scheduled_for", asked.scheduled_for)
            if asked.scheduled_for is not None
            else None
        ),
        pinned_agent_id=asked.pinned_agent_id,
        claim_agent_id=asked.claim.agent_id if asked.claim else None,
    )

    def render(state: Execution) -> Answer:
        if asked.claim is not None:
            return Answer(state.id, 201)  # built anew each time: it holds a lease
        view = View(executions.row(state, 0), Texts(configuration=configuration.body))
        return _created(view)

    key = key_of(request, caller, "Idempotency-Key", asked)
    work = Work(
        command,
        fresh=asked.id is UNSET,
        configuration=configuration,
        key=key,
        render=render,
    )
    done = await ledger.appender.submit(work)
    if done.changed:
        ledger.configurations.keep(configuration.digest, configuration.body)
    if asked.claim is not None:
        return await _created_and_claimed(ledger, done)
    return await _answer_created(ledger, done, render)


async def _answer_created(ledger: Ledger, done: Done, render: Any) -> Answered:
    if done.replayed is not None:
        answer = done.replayed
    elif done.changed and done.execution is not None:
        answer = render(done.execution)
    elif done.execution is not None:
        # The same id and body again: the same execution, as it stands by now.
        answer = _created(await ledger.view(done.execution.id))
    else:
        raise not_found()
    headers = {"Location": answer.location} if answer.location else {}
    return answers.json(answer.body, answer.status, headers)


async def _created_and_claimed(ledger: Ledger, done: Done) -> Answered:
    claimed = await ledger.leased(done)
    return answers.json(claimed, 201, {"Location": _location(claimed.execution.id)})


def _created(view: View) -> Answer:
    shown = rendering.execution(view, wire.now())
    return Answer(view.row.id, 201, _location(shown.id), answers.encoded(shown))


def _location(execution_id: str) -> str:
    return f"{PATH}/{execution_id}"


def _client_made_id(asked: wire.CreateExecution) -> Any:
    if asked.id is UNSET:
        return None
    value = ids.from_text(ids.EXECUTION, asked.id)
    if value is None or not ids.is_uuid7(value):
        raise invalid("id", "must be a TypeID: exec_ and the 26 characters of a UUIDv7")
    if ids.created_at(value) > wire.now() + _CLOCK_SLACK:
        raise invalid("id", "lies in the future: its first part is the time of creation")
    return value


def _job(asked: wire.CreateExecution, timeout_seconds_max: int) -> Job:
    """Return what is to be run. Raises `Problem` 400 that names the field."""
    job_name = parameters.line("job_name", asked.job_name)
    if asked.job_id is not UNSET:
        job_id = parameters.name("job_id", asked.job_id)
    else:
        job_id = ids.derived_job_id(job_name)
    if asked.pinned_agent_id is not None:
        parameters.name("pinned_agent_id", asked.pinned_agent_id)
    if asked.claim is not None:
        parameters.name("claim.agent_id", asked.claim.agent_id)
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
    _check_secrets_hidden(hidden, [*shown, asked.pinned_agent_id or ""])
    return Job(
        job_id=job_id,
        job_name=job_name,
        command=asked.command,
        timeout_seconds=_timeout(asked, timeout_seconds_max),
        working_dir=asked.working_dir and parameters.text("working_dir", asked.working_dir),
        environment=plain,
        secrets=hidden,
    )


def _check_secrets_hidden(hidden: dict[str, str], shown: list[str]) -> None:
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


@post(_ONE + "/retry")
async def retry_execution(request: Req) -> ASGIApp:
    """Run a failed or timed-out execution again, as a new one with the same configuration."""
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "operate")
    parameters.query(request, ())
    await parameters.body(request, Nothing)
    old_id = parameters.execution_id(request)
    old = await ledger.view(old_id)
    command = commands.Retry(
        at=wire.now(),
        by=caller.actor,
        command_id=ledger.new_id(),
        execution_id=old_id,
        new_id=ledger.new_id(),
    )

    def render(state: Execution) -> Answer:
        return _created(
            View(executions.row(state, 0), Texts(configuration=old.texts.configuration))
        )

    key = key_of(request, caller, "Idempotency-Key", None)
    done = await ledger.appender.submit(Work(command, key=key, render=render))
    return await _answer_created(ledger, done, render)


@post(_ONE + "/cancel")
async def cancel_execution(request: Req) -> ASGIApp:
    """Cancel: a pending execution at once (200), a running one through its agent (202)."""
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "operate")
    parameters.query(request, ())
    await parameters.body(request, Nothing)
    command = commands.Cancel(
        at=wire.now(),
        by=caller.actor,
        command_id=ledger.new_id(),
        execution_id=parameters.execution_id(request),
    )
    await ledger.appender.submit(Work(command))
    view = await ledger.view(command.execution_id)
    status = 202 if view.row.status == "running" else 200
    return answers.json(rendering.execution(view, wire.now()), status)


@get(_ONE + "/events")
async def execution_events(request: Req) -> ASGIApp:
    """Return the audit trail of one execution."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    parameters.query(request, ())
    entries = await queries.events(ledger.pool, parameters.execution_id(request))
    if not entries:
        raise not_found()
    return answers.json(wire.AuditTrail([_audit_event(entry) for entry in entries]))


def _audit_event(entry: queries.AuditEntry) -> wire.AuditEvent:
    try:
        data = msgspec.json.decode(entry.payload, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError):
        data = {"unreadable": True}
    data.pop("type", None)
    for name in _EXECUTION_IDS & data.keys():
        with contextlib.suppress(TypeError, ValueError):
            data[name] = ids.to_text(ids.EXECUTION, UUID(data[name]))
    return wire.AuditEvent(
        position=entry.position,
        version=entry.version,
        type=entry.type,
        occurred_at=wire.timestamp(entry.occurred_at),
        recorded_at=wire.timestamp(entry.recorded_at),
        actor=entry.actor,
        request_id=ids.to_text(ids.REQUEST, entry.command_id),
        correlation_id=ids.to_text(ids.EXECUTION, entry.correlation_id),
        schema_version=entry.schema_version,
        leaf_hash=entry.leaf_hash.hex(),
        data=data,
    )


HANDLERS: Final = (
    list_executions,
    get_execution,
    create_execution,
    retry_execution,
    cancel_execution,
    execution_events,
)

__all__ = ["HANDLERS", "PATH"]
