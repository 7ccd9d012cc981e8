"""The history: executions newest first, filtered by the address, live and endless."""

from datetime import datetime
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlencode

from litestar import get
from litestar.types import ASGIApp
from msgspec import Struct
from msgspec.structs import replace

from api import parameters, wire
from api.answers import Answered
from api.ledger import Ledger, of
from api.pages import directory, door, rendered, words
from api.pages.rendered import Req
from api.pages.shared import Changes, Shared
from api.parameters import ListQuery
from api.problems import invalid
from domain import ids
from projections.queries import Filter, View
from store import configurations

_ADDRESS: Final = ("status", "triggered_by", "job_id", "q", "from", "to")
_QUERY_CHARACTERS_MAX: Final = 200


class Line(Struct, frozen=True):
    """One row of the table, in words."""

    id: str
    position: int
    status: str
    sign: str
    job: str
    created: str
    duration: str
    since: str
    trigger: str
    agent: str
    reason: str
    attempt: int
    may_retry: bool


class Asked(Struct, frozen=True, dict=True):
    """What the address asks for: the values as they were given, and what they mean."""

    values: dict[str, list[str]]
    query: ListQuery
    text: str

    @cached_property
    def address(self) -> str:
        """The filters as they stand in an address, without a cursor; empty if there are none."""
        return urlencode(self.pairs)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The filters, in one order."""
        return [(key, one) for key in _ADDRESS for one in self.values.get(key, ())]

    def one(self, key: str) -> str:
        """Return the value of a field of the form."""
        return (self.values.get(key) or [""])[0]


def line(view: View, now: datetime) -> Line:
    """Return what a row says of an execution."""
    row = view.row
    erased = view.texts.configuration is None
    job = configurations.shown(view.texts.configuration)
    created_at = ids.created_at(row.id)
    running = row.started_at is not None and row.completed_at is None
    elapsed = round((now - row.started_at).total_seconds() * 1000) if row.started_at else None
    known = row.duration_ms if row.completed_at is not None and row.started_at else None
    return Line(
        id=ids.to_text(ids.EXECUTION, row.id),
        position=row.position,
        status=row.status,
        sign=words.SIGNS[row.status],
        job=words.ERASED if erased else job.job_name,
        created=words.clock(created_at),
        duration=words.duration(elapsed if running else known),
        since=wire.timestamp(row.started_at) if running and row.started_at else "",
        trigger=row.triggered_by,
        agent=row.agent_id or "",
        reason=words.reason(view),
        attempt=row.attempt,
        may_retry=row.status in words.BAD and row.retried_as is None,
    )


@get("/", exception_handlers={Exception: rendered.respond})
async def history(request: Req) -> ASGIApp:
    """Show executions, newest first."""
    seen_by = await door.visitor(request)
    ledger, shared = of(request), shared_of(request)
    asked, more = await _asked(request, ledger, shared, ("before", "part"))
    # Before the read: what happens between the two is shown twice rather than never.
    mark = await changes_of(request).mark()
    page = await ledger.lists.page(
        asked.query.chosen, limit=asked.query.limit, offset=asked.query.offset
    )
    now = wire.now()
    onward, headers = "", {}
    if page.has_more:
        last = ids.to_text(ids.EXECUTION, page.rows[-1].row.id)
        onward = f"/?{urlencode([*asked.pairs, ('before', last)])}"
    if more == "list":
        # The address that shows the same is the one without the word for the part.
        headers["HX-Push-Url"] = f"/?{asked.address}" if asked.address else "/"
    return rendered.page(
        "history.html",
        seen_by,
        block={"rows": "rows", "list": "list"}.get(more),
        here="/",
        headers=headers,
        strangers=(),
        lines=[line(view, now) for view in page.rows],
        asked=asked,
        onward=onward,
        mark=mark,
        total=page.total,
        total_is_exact=page.total_is_exact,
        is_first="before" not in asked.values,
    )


@get("/live", exception_handlers={Exception: rendered.respond})
async def live(request: Req) -> ASGIApp:
    """Return the rows that changed after a position, as far as they belong to the filters."""
    await door.visitor(request)
    ledger = of(request)
    asked, _ = await _asked(request, ledger, shared_of(request), ("after",))
    after = parameters.integer(asked.values, "after", 0, 0, 1 << 62)
    found = await changes_of(request).since(after)
    if found is None:
        return rendered.fragment(b"", {"Page-Stale": "yes"})
    changed, position = found
    # A row that no longer matches by its status is drawn anew where it is shown.
    loose = replace(asked.query.chosen, status=())
    views = [one.view for one in changed if matches(loose, one.view)]
    if not views:
        return _at(rendered.unchanged(), position)
    views.sort(key=lambda view: view.row.id)
    chosen, now = asked.query.chosen, wire.now()
    content = rendered.html(
        "rows.html",
        lines=[line(view, now) for view in views],
        strangers={
            ids.to_text(ids.EXECUTION, view.row.id) for view in views if not matches(chosen, view)
        },
    )
    return _at(rendered.fragment(content), position)


def matches(chosen: Filter, view: View) -> bool:
    """Tell whether an execution belongs to a list."""
    row = view.row
    created_at = ids.created_at(row.id)
    return (
        (not chosen.status or row.status in chosen.status)
        and (not chosen.triggered_by or row.triggered_by in chosen.triggered_by)
        and (not chosen.job_id or row.job_id in chosen.job_id)
        and (chosen.created_from is None or created_at >= chosen.created_from)
        and (chosen.created_to is None or created_at < chosen.created_to)
    )


async def _asked(
    request: Req, ledger: Ledger, shared: Shared, more: tuple[str, ...]
) -> tuple[Asked, str]:
    """Return what the address asks for, and which part of the page is wanted."""
    given = parameters.query(request, (*_ADDRESS, *more), repeatable=parameters.REPEATABLE)
    # A form sends its empty fields too.
    values = {key: [one for one in said if one] for key, said in given.items()}
    values = {key: said for key, said in values.items() if said}
    listed = {k: v for k, v in values.items() if k not in {"q", "part", "after", "before"}}
    text = (values.get("q") or [""])[0].strip()[:_QUERY_CHARACTERS_MAX]
    if text and "job_id" not in listed:
        listed["job_id"] = list(directory.matching(await directory.everyone(shared, ledger), text))
    query = parameters.listed(listed, ledger.keys)
    if before := values.get("before"):
        # Not the API's cursor: that is bound to its filters, and which jobs a text finds changes.
        last = ids.from_text(ids.EXECUTION, before[0])
        if last is None:
            raise invalid("before", "is no id of an execution")
        query = replace(query, chosen=replace(query.chosen, before=last))
    return Asked(values, query, text), (values.get("part") or [""])[0]


def _at(answer: Answered, position: int) -> Answered:
    headers = {**(answer.headers or {}), "Page-Position": str(position)}
    return replace(answer, headers=headers)


def shared_of(request: Req) -> Shared:
    """Return what this server's pages share."""
    found: Any = request.app.state.shared
    return found  # type: ignore[no-any-return]  # litestar's state holds anything


def changes_of(request: Req) -> Changes:
    """Return what changed lately."""
    found: Any = request.app.state.changes
    return found  # type: ignore[no-any-return]  # litestar's state holds anything


HANDLERS: Final = (history, live)
