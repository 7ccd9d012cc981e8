"""Answers as the ledger stood at a position or a time."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from api import parameters, rendering, wire, wire_as_of
from api.ledger import Ledger
from api.parameters import ListQuery
from api.problems import invalid, not_found
from domain import ids
from projections import as_of
from projections.as_of import Moment
from projections.queries import View


async def moment(ledger: Ledger, asked: int | datetime) -> Moment:
    """Return the position that is meant. Raises `Problem` 400 for one that has not come yet."""
    if isinstance(asked, datetime):
        if asked > wire.now():
            raise invalid("as_of", "lies in the future, of which nothing is recorded yet")
        return await as_of.moment_of(ledger.pool, await as_of.position_at(ledger.pool, asked))
    head = await as_of.head(ledger.pool)
    if asked > head:
        raise invalid("as_of", f"is beyond the last position, which is {head}")
    return await as_of.moment_of(ledger.pool, asked)


async def listed(
    ledger: Ledger, query: ListQuery, asked: int | datetime
) -> wire_as_of.PastExecutionList:
    """Return one page of executions as they stood then."""
    then = await moment(ledger, asked)
    found = await as_of.page(ledger.pool, query.chosen, then, limit=query.limit)
    page, now = found.page, _clock(then, asked)
    cursor = None
    if page.has_more and found.last is not None:
        cursor = parameters.cursor(ledger.keys, query.chosen, found.last)
    pagination = wire.Pagination(
        limit=query.limit,
        offset=0,
        total=page.total,
        total_is_exact=page.total_is_exact,
        has_more=cursor is not None,
        next_cursor=cursor,
    )
    rows = [rendering.execution(view, now) for view in page.rows]
    return wire_as_of.PastExecutionList(rows, pagination, _as_of(then, found.unreadable))


async def view(ledger: Ledger, execution_id: UUID, then: Moment) -> View:
    """Return one execution as it stood then. Raises `Problem` 404, and `UnreadableHistory`."""
    found = await as_of.one(ledger.pool, execution_id, then.position)
    if found is None:
        raise not_found()
    return found


def detail(
    found: View, stdout: bytes, stderr: bytes, then: Moment, asked: int | datetime
) -> wire_as_of.PastExecution:
    """Return an execution as it stood then, with its output."""
    shown = rendering.detail(found, stdout, stderr, _clock(then, asked))
    fields = {name: getattr(shown, name) for name in shown.__struct_fields__}
    return wire_as_of.PastExecution(**fields, as_of=_as_of(then, ()))


def _clock(then: Moment, asked: int | datetime) -> datetime:
    """Return up to when what was running had run."""
    if isinstance(asked, datetime):
        return asked
    return then.recorded_at or wire.now()


def _as_of(then: Moment, unreadable: Iterable[UUID]) -> wire_as_of.AsOf:
    return wire_as_of.AsOf(
        position=then.position,
        recorded_at=wire.optional_timestamp(then.recorded_at),
        unreadable=[ids.to_text(ids.EXECUTION, one) for one in unreadable],
    )
