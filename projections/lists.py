"""Lists: which statement answers a filter, and the connections that ask it.

A list must cost the same whatever is in the table, and whatever the statistics say of it. So the
statement leaves no choice: each filter becomes stretches of one index, one for each combination of
its values, read from the end, and the connections plan once and for good. See decision 0010.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, TypeVar
from uuid import UUID

import psycopg
from msgspec import Struct
from psycopg import pq

from domain import ids
from projections import queries, sql, totals
from projections.queries import Filter, Page, View
from store.roundtrip import RoundTrips, text_array

# A range is counted no further than that; filters without one have counters.
COUNT_MAX: Final = 2000
# From there on the total is asked first, and the page cut from the nearer end.
DEEP: Final = 1000
_LOWEST: Final = UUID(int=0)
_BEYOND: Final = UUID(int=(1 << 128) - 1)
_LANES: Final = 4
_TRIP_SECONDS: Final = 30.0
_WAIT_SECONDS: Final = 5.0
# Beside what all round trips do without: each of these needs a guess of how many rows there are.
_PLANNING: Final = (
    "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;"
    " SET enable_memoize = off; SET enable_sort = off; SET enable_incremental_sort = off;"
    " SET jit = off;"
    " SET max_parallel_workers_per_gather = 0"
)
_T = TypeVar("_T")
_Parameters: TypeAlias = tuple[bytes, ...]


def _statements() -> dict[bytes, str]:
    made = {
        b"totals": sql.named("read_totals"),
        b"begin": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        b"end": "COMMIT",
    }
    for shape in ("all", "jobs", "statuses", "jobs_and_statuses"):
        matching = sql.named(f"match_{shape}")
        for name, direction in (("newest", "DESC"), ("oldest", "ASC")):
            page = sql.named("choose_page").format(
                matching=matching.format(direction=direction), direction=direction
            )
            made[f"{name} of {shape}".encode()] = queries.listing(page)
        counted = matching.format(direction="DESC")
        made[f"count {shape}".encode()] = sql.named("count_matching").format(matching=counted)
    return made


STATEMENTS: Final = _statements()


class Plan(Struct, frozen=True):
    """How a filter is answered: by which statements, and with which parameters after the first two.

    `counted` are those of the count, which a cursor does not narrow. `ranged` filters have no
    counters.
    """

    shape: str
    listed: _Parameters
    counted: _Parameters
    jobs: tuple[str, ...]
    places: tuple[int, ...]
    ranged: bool


def plan(chosen: Filter) -> Plan:
    """Return how `chosen` is answered. Pure."""
    jobs = tuple(sorted(set(chosen.job_id)))
    statuses = chosen.status or totals.STATUSES
    triggers = chosen.triggered_by or totals.TRIGGERS
    if len(set(statuses)) < len(totals.STATUSES) or len(set(triggers)) < len(totals.TRIGGERS):
        values: _Parameters = (text_array(sorted(set(statuses))), text_array(sorted(set(triggers))))
        shape = "statuses"
        if jobs:
            shape = "jobs_and_statuses"
            values += (text_array(jobs),)
    else:
        shape = "jobs" if jobs else "all"
        values = (text_array(jobs),) if jobs else ()
    lowest = ids.lowest_at(chosen.created_from) if chosen.created_from else _LOWEST
    beyond = ids.lowest_at(chosen.created_to) if chosen.created_to else _BEYOND
    before = min(beyond, chosen.before) if chosen.before else beyond
    return Plan(
        shape=shape,
        listed=(_text(lowest), _text(before), *values),
        counted=(_text(lowest), _text(beyond), *values),
        jobs=jobs,
        places=tuple(
            place
            for (status, trigger), place in totals.PLACES.items()
            if status in statuses and trigger in triggers
        ),
        ranged=chosen.created_from is not None or chosen.created_to is not None,
    )


class Lists:
    """Answers list requests, a few at a time, each on a connection of its own."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._idle: list[RoundTrips] = []
        self._free = asyncio.Semaphore(_LANES)

    async def page(self, chosen: Filter, *, limit: int, offset: int) -> Page:
        """Return one page of the executions that match, newest first."""
        planned = plan(chosen)
        ask = _deep_page if offset >= DEEP else _page
        return await self._answered(lambda trips: ask(trips, planned, limit, offset))

    async def close(self) -> None:
        """Disconnect; the next request connects again."""
        idle, self._idle = self._idle, []
        for trips in idle:
            await _ended(trips)

    async def _answered(self, ask: Callable[[RoundTrips], Awaitable[_T]]) -> _T:
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError as error:
            raise psycopg.OperationalError("every connection for lists is in use") from error
        try:
            kept = self._idle.pop() if self._idle else None
            if kept is not None and not kept.closed:
                try:
                    return await self._asked(kept, ask)
                except psycopg.OperationalError:
                    if not kept.closed:
                        raise
            # The database may have closed a kept connection long ago: once more on a new one.
            return await self._asked(await connect(self._conninfo), ask)
        finally:
            self._free.release()

    async def _asked(self, trips: RoundTrips, ask: Callable[[RoundTrips], Awaitable[_T]]) -> _T:
        try:
            async with asyncio.timeout(_TRIP_SECONDS):
                answer = await ask(trips)
        except (OSError, TimeoutError) as error:
            await _ended(trips)
            raise psycopg.OperationalError(str(error)) from error
        except BaseException:
            # Also when the client went away: an answer may still be under way on it.
            await _ended(trips)
            raise
        self._idle.append(trips)
        return answer


async def connect(conninfo: str) -> RoundTrips:
    """Return a connection that knows the statements, and plans them as lists need it."""
    try:
        return await RoundTrips.connect(conninfo, STATEMENTS, planning=_PLANNING)
    except (OSError, TimeoutError) as error:
        raise psycopg.OperationalError(str(error)) from error


async def _ended(trips: RoundTrips) -> None:
    with contextlib.suppress(psycopg.Error, OSError):
        await trips.close()


async def _page(trips: RoundTrips, planned: Plan, limit: int, offset: int) -> Page:
    """Ask for the page and the total in one round trip."""
    _send_page(trips, planned, b"newest", limit + 1, offset)
    _send_total(trips, planned)
    listed, counted = await trips.answers()
    rows = trips.rows(listed, queries.view)
    total, is_exact = _total(trips, planned, counted)
    return Page(rows[:limit], len(rows) > limit, total, is_exact)


async def _deep_page(trips: RoundTrips, planned: Plan, limit: int, offset: int) -> Page:
    """Ask for the total first: a page beyond the middle is nearer to the other end.

    Both see one snapshot, or the page would be another one.
    """
    trips.send(b"begin")
    _send_total(trips, planned)
    _, counted = await trips.answers()
    total, is_exact = _total(trips, planned, counted)
    rows: list[View] = []
    has_more = False
    if not is_exact or offset < total // 2:
        _send_page(trips, planned, b"newest", limit + 1, offset)
        trips.send(b"end")
        listed, _ = await trips.answers()
        rows = trips.rows(listed, queries.view)
        has_more = len(rows) > limit
    elif offset < total:
        size = min(limit, total - offset)
        has_more = offset + size < total
        _send_page(trips, planned, b"oldest", size, total - offset - size)
        trips.send(b"end")
        listed, _ = await trips.answers()
        rows = trips.rows(listed, queries.view)
    else:
        trips.send(b"end")
        await trips.answers()
    return Page(rows[:limit], has_more, total, is_exact)


def _send_page(trips: RoundTrips, planned: Plan, order: bytes, take: int, skip: int) -> None:
    name = order + b" of " + planned.shape.encode()
    parameters = (b"%d" % take, b"%d" % skip, *planned.listed)
    trips.send(name, parameters, result_format=pq.Format.BINARY)


def _send_total(trips: RoundTrips, planned: Plan) -> None:
    if planned.ranged:
        name = b"count " + planned.shape.encode()
        parameters: _Parameters = (b"%d" % (COUNT_MAX + 1), b"0", *planned.counted)
    else:
        name, parameters = b"totals", (text_array(planned.jobs or (totals.ALL_JOBS,)),)
    trips.send(name, parameters, result_format=pq.Format.BINARY)


def _total(trips: RoundTrips, planned: Plan, result: pq.abc.PGresult) -> tuple[int, bool]:
    """Return how many match, and whether that is exact."""
    if planned.ranged:
        (counted,) = trips.rows(result, int)
        return min(counted, COUNT_MAX), counted <= COUNT_MAX
    rows = trips.rows(result, lambda *row: row)
    return sum(row[place] for row in rows for place in planned.places), True


def _text(value: UUID) -> bytes:
    return str(value).encode()
