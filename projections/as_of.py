"""The ledger as it stood at a position: states folded from the log, with the bodies kept today.

Which executions there are, and what never changes of them (job, trigger, time of creation), is
looked up in the read model; all else is folded from the events up to the position. A page looks at
10,000 executions of then at most, however few of them match, and ends once it has passed over
100,000 that were recorded later under ids of then (fewer where many jobs and triggers are asked
for, of each of which as many ids are read); the next one goes on from there. The total is counted
in the same way from the newest on, whatever the cursor, so that all pages have the same.

Passing over has a limit of its own: it costs a look-up, a twentieth of what it costs to fold a
history, and executions created right after the position, or reported late, should not take places
of those that were there. As long as fewer than that were recorded later, no page and no total
changes with them; beyond it pages may end sooner, and a total that was exact may become a smaller
one that is not. All pages together hold the same for good.
"""

import asyncio
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, TypeAlias
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool

from domain import ids
from domain.errors import UnreadableHistory
from domain.execution import Execution
from projections import executions, lists, queries, sql
from projections.executions import Row
from projections.list_plans import plan
from projections.lists import COUNT_MAX
from projections.queries import Filter, Page, Texts, View
from store.output import StoredStream
from store.states import KnownEvent, known_histories

LOOKED_AT_MAX: Final = 10_000
PASSED_OVER_MAX: Final = 100_000
# An id is made by a server or a client, a position is recorded by the database: so far apart their
# clocks may be, without an execution being missed shortly after it was created.
CLOCKS_APART_MAX: Final = timedelta(minutes=5)
_AT_ONCE: Final = 500
# A statement looks up no more than that, of which none may have been there: with a cold disk these
# still take far less than a statement may.
_LOOK_UPS_AT_ONCE: Final = 10_000
# Fewer at once save nothing: were many unreadable, each of them would cost a statement.
_FEW: Final = 50
# As lists are planned: the cost must not depend on what is known of the table. See decision 0010.
PLANNING: Final = (
    f"SET enable_seqscan = off; SET enable_bitmapscan = off; {lists.PLANNING}"
).replace("SET ", "SET LOCAL ")
_ONE: Final = "SELECT id FROM read.executions_1 WHERE id = $3::uuid"
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
    """Return the last position that was recorded at or before `moment`.

    Times are shown in milliseconds: one that is given so means the end of its millisecond, so that
    the time of an event leads to that event.
    """
    if moment.microsecond % 1000 == 0:
        moment += timedelta(microseconds=999)
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
    asked = Candidates(_ONE, (str(execution_id),))
    async with pool.connection() as connection:
        read = await _histories(connection, asked, position, enough=1, look_ups=1)
        states, unreadable = _folded(read.streams)
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
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(PLANNING)
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
    matching: list[Row] = []
    unreadable: list[UUID] = []
    seen, passed_over, width = 0, 0, _AT_ONCE
    last, is_all = chosen.before or _highest(then), then.position == 0
    while not is_all and len(matching) <= enough and seen < LOOKED_AT_MAX:
        candidates = candidates_of(chosen, last, connection.info.server_version)
        if passed_over >= candidates.passed_over_max:
            break
        # Without a status all that are looked at match, but for those that cannot be read.
        needed = LOOKED_AT_MAX if chosen.status else max(_FEW, enough + 1 - len(matching))
        at_once = min(_AT_ONCE, needed, LOOKED_AT_MAX - seen)
        width = min(width, candidates.look_ups)
        look_ups = min(width, candidates.passed_over_max - passed_over + at_once)
        read = await _histories(
            connection, candidates, then.position, enough=at_once, look_ups=look_ups
        )
        # Hundreds of histories take long enough to hold up other requests.
        states, broken = await asyncio.to_thread(_folded, read.streams)
        unreadable += broken
        matching += [r for r in states.values() if not chosen.status or r.status in chosen.status]
        is_all = len(read.streams) < at_once and read.look_ups < look_ups
        seen += len(read.streams)
        passed_over += read.look_ups - len(read.streams)
        # Where many were recorded later, few statements pass over them.
        width *= 2 if len(read.streams) < at_once else 1
        last = read.last or last
    return _Found(matching, unreadable, last, is_all)


class Candidates(Struct, frozen=True):
    """Which executions are looked at, by a statement and its parameters from the third on.

    `look_ups` are how many of them a statement may look at, `passed_over_max` how many a page may
    pass over.
    """

    matching: str
    values: tuple[str, ...]
    look_ups: int = 1
    passed_over_max: int = 0


def candidates_of(chosen: Filter, before: UUID | None, server_version: int) -> Candidates:
    """Return those that match by what never changes of them; the status is looked at later."""
    planned = plan(replace(chosen, status=(), before=before))
    return Candidates(
        lists.matching(planned.shape, "DESC", server_version),
        tuple(value.decode() for value in planned.listed),
        # Of each stretch as many ids are read as are looked at in all. Ten cost about a look-up.
        max(_AT_ONCE, _LOOK_UPS_AT_ONCE // planned.stretches),
        PASSED_OVER_MAX // max(1, planned.stretches // 10),
    )


def _highest(then: Moment) -> UUID | None:
    """Return a bound above the ids of all that was created by then: an id begins with its time."""
    return None if then.recorded_at is None else ids.lowest_at(then.recorded_at + CLOCKS_APART_MAX)


_Stream: TypeAlias = tuple[UUID, list[tuple[Any, ...]]]


def statement_of(candidates: Candidates) -> str:
    """Return the statement that looks up which of them were there.

    Its parameters are how many are looked at, 0, the candidates' values, the position, and enough.
    """
    after = 2 + len(candidates.values)
    return sql.named("histories_until").format(
        matching=candidates.matching, position=f"${after + 1}", enough=f"${after + 2}"
    )


class _Read(Struct, frozen=True):
    """What was there, newest first, each with its events up to a position.

    `look_ups` were needed to find it, down to `last`, which need not have been there.
    """

    streams: list[_Stream]
    last: UUID | None
    look_ups: int


async def _histories(
    connection: AsyncConnection[Any],
    candidates: Candidates,
    position: int,
    *,
    enough: int,
    look_ups: int,
) -> _Read:
    """Return the candidates that were there: until there are `enough`, by `look_ups` at most."""
    parameters = [look_ups, 0, *candidates.values, position, enough]
    statement = statement_of(candidates).encode()
    async with AsyncRawCursor(connection) as cursor:
        await cursor.execute(statement, parameters, prepare=False, binary=True)
        rows = await cursor.fetchall()
    if not rows:
        return _Read([], None, 0)
    last, looked_at, first, *_ = rows[0]
    streams: list[_Stream] = []
    if first is not None:
        events = (row[2:] for row in rows)
        streams = [(stream, list(of_it)) for stream, of_it in groupby(events, itemgetter(0))]
    return _Read(streams, last, looked_at)


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
