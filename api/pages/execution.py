"""One execution: what it is, its output, its history, and what can be done about it."""

import secrets
from typing import Any, Final
from uuid import UUID

from litestar import get, post
from litestar.types import ASGIApp

from api import parameters, rendering, wire
from api.ledger import Ledger, of
from api.pages import door, logs, rendered, words
from api.pages.door import Visitor
from api.pages.history import changes_of, shared_of
from api.pages.rendered import Req
from api.pages.trail import steps
from api.problems import Problem
from api.routes.executions import PATH, canceled, retried
from domain import ids
from domain.execution import RETRYABLE
from projections import queries
from projections.queries import View
from store import configurations, tokens
from store.work import IdempotencyKey

_ONE: Final = "/executions/{execution_id:str}"
_SECONDS: Final = 5.0
_ASKING: Final = {
    "retry": (
        "Run it again?",
        "This makes a new execution with the same configuration, which an agent then runs.",
        "Retry",
    ),
    "cancel": (
        "Cancel it?",
        "What waits is canceled at once. What runs is told to end, then made to.",
        "Cancel the execution",
    ),
}


@get(_ONE, exception_handlers={Exception: rendered.respond})
async def one(request: Req) -> ASGIApp:
    """Show one execution."""
    seen_by = await door.visitor(request)
    parameters.query(request, ())
    ledger = of(request)
    mark = await changes_of(request).mark()
    view = await ledger.view(parameters.execution_id(request))
    panes = await logs.panes(ledger, view)
    return rendered.page(
        "execution.html",
        seen_by,
        here="/",
        mark=mark,
        # Of what failed, the error log is what people come for.
        panes=panes[::-1] if view.row.status in words.BAD and panes[1].written_bytes else panes,
        follow_from=".".join(str(pane.follows_from) for pane in panes),
        target=_path(view.row.id),
        back=_path(view.row.id),
        raw=f"{PATH}/{ids.to_text(ids.EXECUTION, view.row.id)}/logs?stream=",
        asking=_ASKING,
        key=secrets.token_hex(16),
        **await _state(request, seen_by, view),
    )


@get(_ONE + "/state", exception_handlers={Exception: rendered.respond})
async def state(request: Req) -> ASGIApp:
    """Return the part of the page that changes, if the execution has changed since a position."""
    seen_by = await door.visitor(request)
    ledger = of(request)
    values = parameters.query(request, ("after",))
    after = parameters.integer(values, "after", 0, 0, 1 << 62)
    execution_id = parameters.execution_id(request)
    found = await changes_of(request).since(after)
    if found is not None:
        changed, position = found
        if all(change.view.row.id != execution_id for change in changed):
            return rendered.unchanged()
    else:
        position = await changes_of(request).mark()
    view = await ledger.view(execution_id)
    return rendered.page(
        "execution.html",
        seen_by,
        block="state",
        headers={"Page-Position": str(position)},
        **await _state(request, seen_by, view),
    )


async def _state(request: Req, seen_by: Visitor, view: View) -> dict[str, Any]:
    """Return what the changing part of the page is made of."""
    ledger = of(request)
    row, now = view.row, wire.now()
    erased = view.texts.configuration is None
    job = configurations.shown(view.texts.configuration)
    shown = rendering.execution(view, now)
    entries = await queries.events(ledger.pool, row.id)
    return {
        "shown": shown,
        "view": view,
        "job": job,
        "erased": erased,
        "name": words.ERASED if erased else job.job_name,
        "command": words.command(job.command),
        "variables": sorted(job.environment),
        "hidden": sorted(job.secrets),
        "reason": words.reason(view),
        "duration": words.duration(shown.duration_ms) if row.started_at else "",
        "steps": steps(row.id, entries),
        "names": await shared_of(request).get("names", _SECONDS, lambda: _names(ledger)),
        "is_final": row.completed_at is not None,
        "may_retry": seen_by.may_operate and row.status in RETRYABLE and not erased,
        "may_cancel": seen_by.may_operate
        and row.completed_at is None
        and row.cancel_requested_at is None,
        "now": now,
    }


async def _names(ledger: Ledger) -> dict[str, str]:
    """Return who is meant by the ids of actors: events hold no names."""
    async with ledger.pool.connection() as connection:
        found = await tokens.names(connection)
    return {ids.to_text(ids.TOKEN, token_id): name for token_id, name in found.items()}


@get(_ONE + "/{action:str}", exception_handlers={Exception: rendered.respond})
async def ask(request: Req) -> ASGIApp:
    """Ask before something is done: the page for browsers without script."""
    action = _action(request)
    seen_by = await door.visitor(request, "operate")
    ledger = of(request)
    view = await ledger.view(parameters.execution_id(request))
    job = configurations.shown(view.texts.configuration)
    return rendered.page(
        "confirm.html",
        seen_by,
        here="/",
        action=action,
        asking=_ASKING,
        key=secrets.token_hex(16),
        target=_path(view.row.id),
        back=_path(view.row.id),
        status_shown=view.row.status,
        name=job.job_name or words.ERASED,
    )


@post(_ONE + "/{action:str}", exception_handlers={Exception: rendered.respond})
async def act(request: Req) -> ASGIApp:
    """Retry, and go to the new execution; or cancel, and come back."""
    action = _action(request)
    seen_by, fields = await door.sender(request)
    ledger, execution_id = of(request), parameters.execution_id(request)
    if action == "cancel":
        await canceled(ledger, seen_by.caller, execution_id)
        return rendered.redirect(_path(execution_id))
    key = form_key(request, seen_by, fields)
    made = await retried(ledger, seen_by.caller, execution_id, key)
    location = (made.headers or {}).get("Location", "")
    return rendered.redirect("/executions" + location.removeprefix(PATH))


def form_key(request: Req, seen_by: Visitor, fields: dict[str, str]) -> IdempotencyKey:
    """Return the key by which a form that is sent twice does what it does once."""
    return IdempotencyKey(
        token_id=seen_by.caller.token_id,
        key=f"page: {fields.get('key', '')[:64]}",
        fingerprint=parameters.fingerprint(request, None),
    )


def _action(request: Req) -> str:
    action: str = request.scope["path_params"]["action"]
    if action not in _ASKING:
        raise Problem(404, "resource_not_found", "There is nothing at this address.")
    return action


def _path(execution_id: UUID) -> str:
    return f"/executions/{ids.to_text(ids.EXECUTION, execution_id)}"


HANDLERS: Final = (one, state, ask, act)
