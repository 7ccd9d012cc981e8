"""The ledger as it stood at a position: states folded from the log, with the bodies kept today.

Which executions there are, and what never changes of them (job, trigger, time of creation), is
looked up in the read model; all else is folded from the events up to the position. A page looks at
10,000 executions of then at most, however few of them match; the next one goes on from there. The
total is counted in the same way from the newest on, whatever the cursor: no position of the past
can have two.
"""

import asyncio
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, TypeAlias
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from psycopg import AsyncConnection
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool

from domain import ids
from domain.errors import UnreadableHistory
from domain.execution import Execution
from projections import executions, queries, sql
from projections.executions import Row
from projections.lists import COUNT_MAX
from projections.queries import Filter, Page, Texts, View
from store.output import StoredStream
from store.states import KnownEvent, known_histories

LOOKED_AT_MAX: Final = 10_000
# An id is made by a server or a client, a position is recorded by the database: so far apart their
# clocks may be, without an execution being missed shortly after it was created.
CLOCKS_APART_MAX: Final = timedelta(minutes=5)
_AT_ONCE: Final = 500
# Fewer at once save nothing: were many unreadable, each of them would cost a statement.
_FEW: Final = 50
_TODAY: Final = queries.listing("SELECT *, xmin FROM read.executions_1 WHERE id = ANY(%(ids)s)")


class Moment(Struct, frozen=True):
    """A position of the log, and when it was recorded; position 0 is before the first event."""

    position: int
    recorded_at: datetime | None


class PastPage(Struct, frozen=True):
    """One page of the past; after `last` the next one goes on, whether it was shown or not.

    `unreadable` are executions whose events up to then this version cannot read.
    """

    page: Page[View]
    last: UUID | None
    unreadable: list[UUID]


async def head(pool: AsyncConnectionPool[Any]) -> int:
    """Return the position of the last event."""
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT coalesce(max(position), 0) FROM ledger.events")
        found = await cursor.fetchone()
    return found[0] if found else 0


async def position_at(pool: AsyncConnectionPool[Any], moment: datetime) -> int:
    """Return the last position that was recorded at or before `moment`."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            sql.named("position_at").encode(), {"moment": moment}, prepare=False
        )
        found = await cursor.fetchone()
    return found[0] if found else 0


async def moment_of(pool: AsyncConnectionPool[Any], position: int) -> Moment:
    """Return a position with the time at which it was recorded."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT recorded_at FROM ledger.events WHERE position = %s", [position]
        )
        found = await cursor.fetchone()
    return Moment(position, found[0] if found else None)


async def one(pool: AsyncConnectionPool[Any], execution_id: UUID, position: int) -> View | None:
    """Return one execution as it stood at `position`, None if there was none.

    Raises `UnreadableHistory` if its events up to then cannot be read.
    """
    asked = {"one": execution_id, "limit": 1, "position": position}
    async with pool.connection() as connection:
        streams = await _histories(connection, "AND id = %(one)s", asked)
        states, unreadable = _folded(streams)
        if execution_id in unreadable:
            raise UnreadableHistory(reason=unreadable[execution_id])
        found = await _with_texts(connection, list(states.values()))
    return found[0] if found else None


async def page(
    pool: AsyncConnectionPool[Any], chosen: Filter, then: Moment, *, limit: int
) -> PastPage:
    """Return one page of the executions that matched then, newest first.

    The total is that of all pages: up to `COUNT_MAX` are counted, among the newest that a page may
    look at. If there may be more of them, it is not exact.
    """
    async with pool.connection() as connection:
        counted = await _found(connection, replace(chosen, before=None), then, COUNT_MAX)
        found = counted
        if chosen.before is not None:
            found = await _found(connection, chosen, then, limit)
        shown = await _with_texts(connection, found.matching[:limit])
    total = len(counted.matching)
    is_exact = counted.is_all and total <= COUNT_MAX
    last, unreadable, has_more = found.last, found.unreadable, not found.is_all
    if len(found.matching) > limit:
        last, has_more = found.matching[limit - 1].id, True
        unreadable = [one for one in unreadable if one > last]
    return PastPage(Page(shown, has_more, min(total, COUNT_MAX), is_exact), last, unreadable)


class _Found(Struct, frozen=True):
    """What matched among the executions down to `last`; below it there is none if `is_all`."""

    matching: list[Row]
    unreadable: list[UUID]
    last: UUID | None
    is_all: bool


async def _found(
    connection: AsyncConnection[Any], chosen: Filter, then: Moment, enough: int
) -> _Found:
    """Return what matched then, newest first, until it is more than `enough` or all."""
    # What changes with time is looked at in the state of then.
    lasting = replace(chosen, status=(), before=None)
    matching: list[Row] = []
    unreadable: list[UUID] = []
    seen, last, is_all = 0, chosen.before or _highest(then), then.position == 0
    while not is_all and len(matching) <= enough and seen < LOOKED_AT_MAX:
        conditions, asked = _conditions(replace(lasting, before=last))
        # Without a status all that are looked at match, but for those that cannot be read.
        needed = LOOKED_AT_MAX if chosen.status else max(_FEW, enough + 1 - len(matching))
        at_once = min(_AT_ONCE, needed, LOOKED_AT_MAX - seen)
        asked |= {"limit": at_once, "position": then.position}
        streams = await _histories(connection, conditions, asked)
        # Hundreds of histories take long enough to hold up other requests.
        states, broken = await asyncio.to_thread(_folded, streams)
        unreadable += broken
        matching += [r for r in states.values() if not chosen.status or r.status in chosen.status]
        is_all = len(streams) < at_once
        seen, last = seen + len(streams), streams[-1][0] if streams else last
    return _Found(matching, unreadable, last, is_all)


def _conditions(chosen: Filter) -> tuple[str, dict[str, Any]]:
    """Return what else must hold, of fixed fragments, for what never changes of executions."""
    clauses: list[str] = []
    asked: dict[str, Any] = {}
    for column in ("job_id", "triggered_by"):
        if values := getattr(chosen, column):
            clauses.append(f"AND {column} = ANY(%({column})s)")
            asked[column] = list(values)
    bounds = {
        "AND id >= %(lowest)s": chosen.created_from and ids.lowest_at(chosen.created_from),
        "AND id < %(beyond)s": chosen.created_to and ids.lowest_at(chosen.created_to),
        "AND id < %(before)s": chosen.before,
    }
    for clause, value in bounds.items():
        if value is not None:
            clauses.append(clause)
            asked[clause.split("(")[1].split(")")[0]] = value
    return " ".join(clauses), asked


def _highest(then: Moment) -> UUID | None:
    """Return a bound above the ids of all that was created by then: an id begins with its time."""
    return None if then.recorded_at is None else ids.lowest_at(then.recorded_at + CLOCKS_APART_MAX)


_Stream: TypeAlias = tuple[UUID, list[tuple[Any, ...]]]


async def _histories(
    connection: AsyncConnection[Any], conditions: str, asked: dict[str, Any]
) -> list[_Stream]:
    """Return the executions that match, newest first, each with its events up to the position."""
    statement = sql.named("histories_until").replace("{conditions}", conditions)
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(statement.encode(), asked, prepare=False)
        rows = await cursor.fetchall()
    return [(stream, list(events)) for stream, events in groupby(rows, itemgetter(0))]


def _folded(streams: list[_Stream]) -> tuple[dict[UUID, Row], dict[UUID, str]]:
    """Return the row of each execution that existed; of those that cannot be read, why not."""
    happened = [(KnownEvent(*row[:-1]), row[-1]) for _, rows in streams for row in rows]
    states, unreadable = known_histories(event for event, _ in happened)
    positions = {event.stream_id: position for event, position in happened}
    rows = {
        stream: executions.row(state, positions[stream])
        for stream, state in states.items()
        if isinstance(state, Execution) and stream not in unreadable
    }
    return rows, unreadable


async def _with_texts(connection: AsyncConnection[Any], rows: list[Row]) -> list[View]:
    """Return `rows` with the bodies as they are kept today, as far as they were sealed then."""
    if not rows:
        return []
    asked = {"ids": [row.id for row in rows]}
    async with connection.cursor(binary=True, row_factory=args_row(queries.view)) as cursor:
        await cursor.execute(_TODAY.encode(), asked, prepare=False)
        today = await cursor.fetchall()
    texts = {view.row.id: view.texts for view in today}
    return [View(row, _sealed(row, texts[row.id])) for row in rows if row.id in texts]


def _sealed(row: Row, texts: Texts) -> Texts:
    """Return the bodies without output that no event had sealed by then.

    While a command runs, its output is no part of history: nobody can say what was there when.
    """
    if row.stdout_kept_bytes is not None:
        return texts
    stdout, stderr = (
        StoredStream(erased_at=stream.erased_at) for stream in (texts.stdout, texts.stderr)
    )
    return replace(texts, stdout=stdout, stderr=stderr)
