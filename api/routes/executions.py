"""Executions for people and programs: list, get, retry, cancel."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from litestar import Request, get, post
from litestar.types import ASGIApp
from msgspec import Struct

from api import answers, parameters, past, rendering, validators, wire
from api.answers import Answered
from api.auth import Caller
from api.ledger import Ledger, key_of, of
from api.problems import not_found
from domain import commands
from domain.execution import Execution
from projections import executions
from projections.queries import Texts, View
from store import output
from store.work import Answer, Done, IdempotencyKey, Work

PATH: Final = "/v1/cron-executions"
_ONE: Final = PATH + "/{execution_id:str}"
_INLINE_BYTES: Final = 256 * 1024


class Nothing(Struct, forbid_unknown_fields=True):
    """The body of a request that says everything in its path."""


Req = Request[Any, Any, Any]


@get(PATH)
async def list_executions(request: Req) -> ASGIApp:
    """List executions, newest first."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    asked = parameters.list_query(request)
    if asked.chosen.as_of is not None:
        return answers.json(await past.listed(ledger, asked, asked.chosen.as_of))
    page = await ledger.shown.page(asked)
    cursor = None
    if page.has_more:
        cursor = parameters.cursor(ledger.keys, asked.chosen, page.rows[-1].version.id)
    pagination = wire.Pagination(
        limit=asked.limit,
        offset=asked.offset,
        total=page.total,
        total_is_exact=page.total_is_exact,
        has_more=page.has_more,
        next_cursor=cursor,
    )
    # As wire.ExecutionList, of parts that are JSON already.
    now = wire.now()
    data = b",".join(row.json(now) for row in page.rows)
    return answers.json(b'{"data":[%b],"pagination":%b}' % (data, answers.encoded(pagination)))


@get(_ONE)
async def get_execution(request: Req) -> ASGIApp:
    """Return one execution with its full output and error logs."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    asked = parameters.as_of(parameters.query(request, ("as_of",)))
    if asked is not None:
        return await _past_execution(ledger, request, asked)
    view = await ledger.view(parameters.execution_id(request))
    tag = validators.tag(view)
    if tag is not None and (known := validators.matching(request, tag)):
        return answers.not_modified(known)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"} if tag is not None else {}
    stdout, stderr = await _kept(ledger, view)
    if len(stdout) + len(stderr) > _INLINE_BYTES:
        # Megabytes of output take long enough to encode to hold up every other request.
        detailed = await asyncio.to_thread(_detailed, view, stdout, stderr)
    else:
        detailed = _detailed(view, stdout, stderr)
    return answers.json(detailed, headers=headers)


async def _past_execution(ledger: Ledger, request: Req, asked: int | datetime) -> ASGIApp:
    then = await past.moment(ledger, asked)
    view = await past.view(ledger, parameters.execution_id(request), then)
    stdout, stderr = await _kept(ledger, view)
    detail = await asyncio.to_thread(past.detail, view, stdout, stderr, then, asked)
    return answers.json(await asyncio.to_thread(answers.encoded, detail))


async def _kept(ledger: Ledger, view: View) -> list[bytes]:
    """Return what is kept of both output streams, up to where they were sealed."""
    row, texts = view.row, view.texts
    kept = []
    for stream, stored, sealed in (
        ("stdout", texts.stdout, row.stdout_kept_bytes),
        ("stderr", texts.stderr, row.stderr_kept_bytes),
    ):
        has_any = stored.kept_bytes > 0 and sealed != 0
        kept.append(await output.read(ledger.pool, row.id, stream, sealed) if has_any else b"")
    return kept


def _detailed(view: View, stdout: bytes, stderr: bytes) -> bytes:
    return answers.encoded(rendering.detail(view, stdout, stderr, wire.now()))


def first_answer(done: Done, render: Callable[[Execution], Answer]) -> Answered | None:
    """Return the answer to a request that made an execution; None if it was made before."""
    if done.replayed is None and done.changed and done.execution is not None:
        return _sent(render(done.execution))
    return None


async def answer_created(ledger: Ledger, done: Done) -> Answered:
    """Return the answer to a request that makes an execution, for the first time or again.

    The first answer was made by `first_answer`, which its work must name.
    """
    if done.answer is not None:
        first: Answered = done.answer
        return first
    if done.replayed is not None:
        # Without a body: it was forgotten when the configuration was erased, which it showed.
        kept = done.replayed
        if kept.body is None:
            kept = created(await ledger.view(kept.execution_id))
        return _sent(kept)
    if done.execution is None:
        raise not_found()
    # The same id and body again: the same execution, as it stands by now.
    return _sent(created(await ledger.view(done.execution.id)))


def _sent(answer: Answer) -> Answered:
    headers = {"Location": answer.location} if answer.location else {}
    return answers.json(answer.body, answer.status, headers)


def created(view: View) -> Answer:
    """Return the answer that shows a new execution, as it is kept under an idempotency key."""
    shown = rendering.execution(view, wire.now())
    return Answer(view.row.id, 201, location(shown.id), answers.encoded(shown))


def location(execution_id: str) -> str:
    """Return the path of one execution."""
    return f"{PATH}/{execution_id}"


@post(_ONE + "/retry")
async def retry_execution(request: Req) -> ASGIApp:
    """Run a failed or timed-out execution again, as a new one with the same configuration."""
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "operate")
    parameters.query(request, ())
    await parameters.body(request, Nothing)
    key = key_of(request, caller, "Idempotency-Key", None)
    return await retried(ledger, caller, parameters.execution_id(request), key)


async def retried(
    ledger: Ledger, caller: Caller, old_id: UUID, key: IdempotencyKey | None
) -> Answered:
    """Retry an execution, and return the answer that shows the new one (or the kept answer)."""
    old = await ledger.view(old_id)
    command = commands.Retry(
        at=wire.now(),
        by=caller.actor,
        command_id=ledger.new_id(),
        execution_id=old_id,
        new_id=ledger.new_id(),
    )

    def render(state: Execution) -> Answer:
        return created(View(executions.row(state, 0), Texts(configuration=old.texts.configuration)))

    work = Work(
        command,
        key=key,
        render=render,
        needed=old.row.configuration,
        answering=partial(first_answer, render=render),
    )
    return await answer_created(ledger, await ledger.appender.submit(work))


@post(_ONE + "/cancel")
async def cancel_execution(request: Req) -> ASGIApp:
    """Cancel: a pending execution at once (200), a running one through its agent (202)."""
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "operate")
    parameters.query(request, ())
    await parameters.body(request, Nothing)
    view = await canceled(ledger, caller, parameters.execution_id(request))
    status = 202 if view.row.status == "running" else 200
    return answers.json(rendering.execution(view, wire.now()), status)


async def canceled(ledger: Ledger, caller: Caller, execution_id: UUID) -> View:
    """Ask for the end of an execution, and return it as it is then."""
    command = commands.Cancel(
        at=wire.now(), by=caller.actor, command_id=ledger.new_id(), execution_id=execution_id
    )
    await ledger.appender.submit(Work(command))
    return await ledger.view(execution_id)


HANDLERS: Final = (
    list_executions,
    get_execution,
    retry_execution,
    cancel_execution,
)

__all__ = ["HANDLERS", "PATH"]
