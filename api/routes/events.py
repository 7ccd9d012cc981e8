"""The log itself: the history of one execution, and the whole ledger in order."""

import asyncio
import re
from typing import Any, Final
from uuid import UUID

from litestar import Request, get
from litestar.types import ASGIApp

from api import answers, parameters, recorded
from api.answers import Answered, Streamed
from api.feed import Batch, Follower, seen
from api.ledger import Ledger, of
from api.problems import Problem, invalid, not_found
from api.routes.executions import PATH
from api.wire_audit import AuditTrail, FeedPagination
from domain import ids
from projections import feed, queries
from projections.feed import FeedFilter

Req = Request[Any, Any, Any]
EVENTS_PATH: Final = "/v1/events"
POSITION_MAX: Final = 999_999_999_999_999
LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1000
WAIT_SECONDS_MAX: Final = 30
TYPE_PATTERN: Final = r"^[a-z][a-z0-9_-]{0,49}\.[a-z0-9_.-]{1,50}$"
_TYPE: Final = re.compile(TYPE_PATTERN[:-1] + r"\Z")
_POSITION: Final = re.compile(r"[0-9]{1,15}\Z")
_FILTERS: Final = ("type", "job_id", "execution_id")
_ONE_ANSWER: Final = ("limit", "wait_seconds")
_MEDIA_TYPE: Final = "text/event-stream"
_LIVE: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@get(PATH + "/{execution_id:str}/events")
async def execution_events(request: Req) -> ASGIApp:
    """Return the history of one execution, with the state after each event."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    parameters.query(request, ())
    execution_id = parameters.execution_id(request)
    entries = await queries.events(ledger.pool, execution_id)
    if not entries:
        raise not_found()
    return answers.json(AuditTrail(recorded.audit_trail(execution_id, entries)))


@get(EVENTS_PATH)
async def ledger_events(request: Req) -> ASGIApp:
    """Return the ledger in order of position: a page, or live events."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    known = ("after", *_ONE_ANSWER, *_FILTERS, "follow", "last_event_id")
    values = parameters.query(request, known, repeatable=_FILTERS)
    chosen = _filter(values)
    after = parameters.integer(values, "after", 0, 0, POSITION_MAX)
    if _is_live(request, values):
        return await _follow(ledger, request, values, chosen, after)
    if "last_event_id" in values:
        raise invalid("last_event_id", "is only for follow=true; a page begins at after")
    limit = parameters.integer(values, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX)
    wait = parameters.integer(values, "wait_seconds", 0, 0, WAIT_SECONDS_MAX)
    page = await feed.page(ledger.pool, chosen, after=after, limit=limit)
    _check_place(after, page.head)
    found = Batch([seen(entry) for entry in page.entries], page.upto)
    if wait and not found.events:
        found = await _awaited(ledger, chosen, found, limit, wait)
    return _page(found, after, limit, max(page.head, found.upto))


def _page(found: Batch, after: int, limit: int, head: int) -> Answered:
    pagination = FeedPagination(
        after=after,
        limit=limit,
        next_after=found.upto,
        has_more=found.upto < head,
        head=head,
    )
    data = b",".join(event.json for event in found.events)
    told = answers.encoded(pagination)
    return answers.json(b'{"data":[%b],"pagination":%b}' % (data, told))


async def _awaited(
    ledger: Ledger, chosen: FeedFilter, found: Batch, limit: int, seconds: float
) -> Batch:
    """Return the first events that come, or how far was looked when the time is over."""
    tail, clock = ledger.tail, ledger.clock
    tail.check_room()
    until = clock() + seconds
    with tail.joined():
        while not found.events and clock() < until and not tail.is_broken_off:
            change, before = tail.change, found.upto
            found = await tail.batch(chosen, before, limit)
            if found.upto == before:
                await asyncio.wait({change}, timeout=max(0.0, until - clock()))
    return found


async def _follow(
    ledger: Ledger, request: Req, values: dict[str, list[str]], chosen: FeedFilter, after: int
) -> Streamed:
    for name in _ONE_ANSWER:
        if name in values:
            raise invalid(name, "cannot be given together with follow")
    after = _last_event_id(request, values, after)

    async def may_go_on() -> bool:
        return await ledger.authenticator.still_allows(request, "read")

    _check_place(after, await feed.head(ledger.pool))
    ledger.tail.check_room()
    return Streamed(Follower(ledger.tail, chosen, after, may_go_on).parts(), _MEDIA_TYPE, _LIVE)


def _is_live(request: Req, values: dict[str, list[str]]) -> bool:
    """Tell whether live events are asked for: in so many words, else by what is accepted."""
    if "follow" in values:
        return parameters.boolean(values, "follow")
    return _MEDIA_TYPE in (parameters.header(request, "accept") or "").lower()


def _last_event_id(request: Req, values: dict[str, list[str]], after: int) -> int:
    """Return after which position to go on.

    A browser that reconnects repeats the query as it was, so that the header is the newer word.
    """
    name, said = "Last-Event-ID", parameters.header(request, "last-event-id")
    if said is None and "last_event_id" in values:
        name, said = "last_event_id", values["last_event_id"][0]
    if said is None:
        return after
    if not _POSITION.match(said):
        raise invalid(name, "must be the id of an event, which is its position")
    return int(said)


def _check_place(after: int, head: int) -> None:
    """Raise 409 for a place that the ledger has not reached: there would be a hole some day."""
    if after > head:
        raise Problem(
            409,
            "conflict",
            f"The ledger has come to position {head} and never was at {after}: it was restored "
            "from a backup, or this is another ledger. Compare the leaf_hash of an event that you "
            "know before you begin again.",
        )


def _filter(values: dict[str, list[str]]) -> FeedFilter:
    for value in values.get("type", ()):
        if not _TYPE.match(value):
            raise invalid("type", f"{value[:40]!r} is no whole type, such as execution.created")
    return FeedFilter(
        type=tuple(values.get("type", ())),
        job_id=parameters.job_ids(values),
        execution_id=tuple(_execution_id(value) for value in values.get("execution_id", ())),
    )


def _execution_id(value: str) -> UUID:
    found = ids.from_text(ids.EXECUTION, value)
    if found is None:
        raise invalid("execution_id", f"{value[:40]!r} is no id of an execution")
    return found


HANDLERS: Final = (execution_events, ledger_events)
