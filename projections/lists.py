"""Lists: which statement answers a filter, and the connections that ask it.

A list must cost the same whatever is in the table, and whatever the statistics say of it. So the
statement leaves no choice: each filter becomes stretches of one index, one for each combination of
its values, read from the end, and the connections plan once and for good. See decision 0010.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Final, TypeAlias, TypeVar
from uuid import UUID

import psycopg
from msgspec import Struct
from msgspec.structs import replace
from psycopg import pq

from domain import ids
from projections import queries, sql, totals
from projections.queries import Filter, Page, View
from store.roundtrip import RoundTrips, text_array

# A range is counted no further than that; filters without one have counters.
COUNT_MAX: Final = 2000
# From there on the total is asked first, and the page cut from the nearer end; hours are skipped,
# and stretches merged.
DEEP: Final = 1000
# More stretches than all statuses with all triggers have are read one by one, however deep.
MERGED_MAX: Final = len(totals.PLACES)
_ORDERS: Final = (("newest", "DESC"), ("oldest", "ASC"))
_UNFINISHED: Final = ("pending", "running")
_LOWEST: Final = UUID(int=0)
_BEYOND: Final = UUID(int=(1 << 128) - 1)
_LANES: Final = 4
_TRIP_SECONDS: Final = 30.0
_WAIT_SECONDS: Final = 5.0
# Beside what all round trips do without: each of these needs a guess of how many rows there are.
_PLANNING: Final = (
    "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_hashagg = off;"
    " SET enable_material = off; SET enable_memoize = off; SET enable_sort = off;"
    " SET enable_incremental_sort = off; SET jit = off;"
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
        for name, direction in _ORDERS:
            page = sql.named("choose_page").format(
                matching=matching.format(direction=direction), direction=direction
            )
            made[f"{name} of {shape}".encode()] = queries.listing(page)
            if shape != "all":
                made[f"{name} of {shape}, merged".encode()] = _merged(shape, direction)
        counted = matching.format(direction="DESC")
        made[f"count {shape}".encode()] = sql.named("count_matching").format(matching=counted)
    for name, direction in _ORDERS:
        made[f"{name} hours".encode()] = _hours(direction)
    return made


def _merged(shape: str, direction: str) -> str:
    stretch = sql.named(f"merge_{shape}")
    matching = "UNION ALL\n".join(
        stretch.format(number=number, direction=direction) for number in range(1, MERGED_MAX + 1)
    )
    page = sql.named("choose_page").format(matching=matching, direction=direction)
    return queries.listing(page)


def _hours(direction: str) -> str:
    passed = sql.named("skip_intervals")
    days = passed.format(
        interval="day", lowest="'-infinity'", beyond="'infinity'", former=0, direction=direction
    )
    hours = passed.format(
        interval="hour",
        lowest="day.starts_at",
        beyond="day.starts_at + interval '1 day'",
        former="day.passed",
        direction=direction,
    )
    return sql.named("skip_hours").format(days=days, hours=hours)


STATEMENTS: Final = _statements()


class Plan(Struct, frozen=True):
    """How a filter is answered: by which statements, and with which parameters after the first two.

    `counted` are those of the count, which a cursor does not narrow. `ranged` filters have no
    counters. `merged` has a value of each column for each stretch, and nothing if there are too
    many. `hours` are a job and statuses, of which what ended is counted by the hour; None if that
    does not count what the filter chooses.
    """

    shape: str
    listed: _Parameters
    counted: _Parameters
    jobs: tuple[str, ...]
    places: tuple[int, ...]
    unfinished: tuple[str, ...]
    ranged: bool
    merged: _Parameters
    hours: _Parameters | None


def plan(chosen: Filter) -> Plan:
    """Return how `chosen` is answered. Pure."""
    jobs = tuple(sorted(set(chosen.job_id)))
    statuses = tuple(sorted(set(chosen.status or totals.STATUSES)))
    triggers = tuple(sorted(set(chosen.triggered_by or totals.TRIGGERS)))
    all_triggers = len(triggers) == len(totals.TRIGGERS)
    columns: tuple[tuple[str, ...], ...]
    if len(statuses) < len(totals.STATUSES) or not all_triggers:
        shape = "jobs_and_statuses" if jobs else "statuses"
        columns = (statuses, triggers, jobs) if jobs else (statuses, triggers)
    else:
        shape = "jobs" if jobs else "all"
        columns = (jobs,) if jobs else ()
    values = tuple(text_array(column) for column in columns)
    lowest = ids.lowest_at(chosen.created_from) if chosen.created_from else _LOWEST
    beyond = ids.lowest_at(chosen.created_to) if chosen.created_to else _BEYOND
    before = min(beyond, chosen.before) if chosen.before else beyond
    ranged = chosen.created_from is not None or chosen.created_to is not None
    stretches = list(itertools.product(*columns))
    merged = stretches if len(stretches) <= MERGED_MAX else []
    hours = None
    if all_triggers and len(jobs) <= 1 and not ranged and chosen.before is None:
        job = jobs[0] if jobs else totals.ALL_JOBS
        hours = (job.encode(), text_array(s for s in statuses if s not in _UNFINISHED))
    return Plan(
        shape=shape,
        listed=(_text(lowest), _text(before), *values),
        counted=(_text(lowest), _text(beyond), *values),
        jobs=jobs,
        places=_places(statuses, triggers),
        unfinished=tuple(status for status in _UNFINISHED if status in statuses),
        ranged=ranged,
        merged=tuple(text_array(column) for column in zip(*merged, strict=True)),
        hours=hours,
    )


def _places(statuses: Collection[str], triggers: Collection[str]) -> tuple[int, ...]:
    return tuple(
        place
        for (status, trigger), place in totals.PLACES.items()
        if status in statuses and trigger in triggers
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
    total, is_exact, _ = _total(trips, planned, counted)
    return Page(rows[:limit], len(rows) > limit, total, is_exact)


async def _deep_page(trips: RoundTrips, planned: Plan, limit: int, offset: int) -> Page:
    """Ask for the total first: a page beyond the middle is nearer to the other end.

    All that is asked sees one snapshot, or the page would be another one.
    """
    trips.send(b"begin")
    _send_total(trips, planned)
    _, counted = await trips.answers()
    total, is_exact, unfinished = _total(trips, planned, counted)
    rows: list[View] = []
    has_more = False
    if not is_exact or offset < total // 2:
        planned, skip = await _nearer(trips, planned, b"newest", offset, unfinished)
        _send_page(trips, planned, b"newest", limit + 1, skip)
        trips.send(b"end")
        listed, _ = await trips.answers()
        rows = trips.rows(listed, queries.view)
        has_more = len(rows) > limit
    elif offset < total:
        size = min(limit, total - offset)
        has_more = offset + size < total
        planned, skip = await _nearer(trips, planned, b"oldest", total - offset - size, unfinished)
        _send_page(trips, planned, b"oldest", size, skip)
        trips.send(b"end")
        listed, _ = await trips.answers()
        rows = trips.rows(listed, queries.view)
    else:
        trips.send(b"end")
        await trips.answers()
    return Page(rows[:limit], has_more, total, is_exact)


async def _nearer(
    trips: RoundTrips, planned: Plan, order: bytes, skip: int, unfinished: int
) -> tuple[Plan, int]:
    """Pass over what is counted by the hour: narrow the plan, and return what is left to skip.

    So many `unfinished` are in no hour yet, wherever they stand: hours are passed over until no
    more than that can be left, and then those that stand there are counted.
    """
    ended = skip - unfinished
    if planned.hours is None or ended < DEEP or unfinished > COUNT_MAX:
        return planned, skip
    _send(trips, order + b" hours", b"%d" % ended, *planned.hours)
    (answer,) = await trips.answers()
    for starts_at, passed in trips.rows(answer, lambda *row: row):
        lowest, before, *values = planned.listed
        if order == b"newest":
            cut = _text(ids.lowest_at(starts_at + timedelta(hours=1)))
            beyond, nearer = (cut, before), (lowest, cut)
        else:
            cut = _text(ids.lowest_at(starts_at))
            beyond, nearer = (lowest, cut), (cut, before)
        skip -= passed
        if unfinished:
            skip -= await _unfinished_within(trips, planned, beyond)
        planned = replace(planned, listed=(*nearer, *values))
    return planned, skip


async def _unfinished_within(trips: RoundTrips, planned: Plan, bounds: _Parameters) -> int:
    among = plan(Filter(job_id=planned.jobs, status=planned.unfinished))
    _send_count(trips, among, *bounds, *among.counted[2:])
    (answer,) = await trips.answers()
    (counted,) = trips.rows(answer, int)
    return counted


def _send_page(trips: RoundTrips, planned: Plan, order: bytes, take: int, skip: int) -> None:
    name, listed = order + b" of " + planned.shape.encode(), planned.listed
    if skip >= DEEP and planned.merged:
        name, listed = name + b", merged", (*listed[:2], *planned.merged)
    _send(trips, name, b"%d" % take, b"%d" % skip, *listed)


def _send_total(trips: RoundTrips, planned: Plan) -> None:
    if planned.ranged:
        _send_count(trips, planned, *planned.counted)
    else:
        _send(trips, b"totals", text_array(planned.jobs or (totals.ALL_JOBS,)))


def _send_count(trips: RoundTrips, planned: Plan, *counted: bytes) -> None:
    _send(trips, b"count " + planned.shape.encode(), b"%d" % (COUNT_MAX + 1), b"0", *counted)


def _send(trips: RoundTrips, name: bytes, *parameters: bytes) -> None:
    trips.send(name, parameters, result_format=pq.Format.BINARY)


def _total(trips: RoundTrips, planned: Plan, result: pq.abc.PGresult) -> tuple[int, bool, int]:
    """Return how many match, whether that is exact, and how many of them have not ended yet."""
    if planned.ranged:
        (counted,) = trips.rows(result, int)
        return min(counted, COUNT_MAX), counted <= COUNT_MAX, 0
    rows = trips.rows(result, lambda *row: row)
    unfinished = _places(planned.unfinished, totals.TRIGGERS)
    matching = {place: sum(row[place] for row in rows) for place in planned.places}
    return (
        sum(matching.values()),
        True,
        sum(count for place, count in matching.items() if place in unfinished),
    )


def _text(value: UUID) -> bytes:
    return str(value).encode()
