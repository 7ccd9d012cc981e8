"""Lists: which statement answers a filter, and the connections that ask it.

A list must cost the same whatever is in the table, and whatever the statistics say of it. So the
statement leaves no choice: each filter becomes stretches of one index, one for each combination of
its values, read from the end, and the connections plan once and for good. See decision 0010.
"""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar
from uuid import UUID

import psycopg
from msgspec import Struct
from msgspec.structs import replace
from psycopg import pq

from domain import ids
from projections import queries, sql, totals
from projections.list_plans import MERGED_MAX, Parameters, Plan, bound, places_of, plan
from projections.queries import Filter, Listed, Page, Version, View
from store.roundtrip import RoundTrips, array, text_array

# A range is counted no further than that; filters without one have counters.
COUNT_MAX: Final = 500
# Of more that have not ended, and so are in no hour, none is counted beside the hours.
UNFINISHED_MAX: Final = 2000
# From there on the total is asked first, and the page cut from the nearer end; hours are skipped,
# and stretches merged.
DEEP: Final = 1000
_ORDERS: Final = (("newest", "DESC"), ("oldest", "ASC"))
# The columns of an index before the id, and by which name match_*.sql knows the values to find.
_STRETCHES: Final = {
    "jobs": (("job_id", "asked"),),
    "statuses": (("status", "asked"), ("triggered_by", "also")),
    "jobs_and_statuses": (("job_id", "asked"), ("status", "that"), ("triggered_by", "also")),
}
_FIRST_TO_END_AT_ROWS: Final = 180000
_LANES: Final = 4
_WAIT_SECONDS: Final = 5.0
# Beside what all round trips do without: each of these needs a guess of how many rows there are.
PLANNING: Final = (
    "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_hashagg = off;"
    " SET enable_material = off; SET enable_memoize = off; SET enable_sort = off;"
    " SET enable_incremental_sort = off; SET jit = off;"
    " SET max_parallel_workers_per_gather = 0"
)
_T = TypeVar("_T")


@functools.cache
def statements(server_version: int) -> dict[bytes, str]:
    """Return the statements by name as PostgreSQL of this version (as 180004) is to be asked."""
    made = {
        b"totals": sql.named("read_totals"),
        b"several": queries.listing(sql.named("choose_several")),
        b"begin": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        b"end": "COMMIT",
    }
    for shape in ("all", "jobs", "statuses", "jobs_and_statuses"):
        for name, direction in _ORDERS:
            found = matching(shape, direction, server_version)
            page = _page_of(found, direction)
            deep = page if shape == "all" else _page_of(_merged(shape, direction), direction)
            if shape == "all":
                page = sql.named("choose_all").format(direction=direction)
            made[f"{name} of {shape}".encode()] = queries.listing(page)
            made[f"{name} of {shape}, deep".encode()] = queries.listing(deep)
            if name == "newest":
                made[f"versions of {shape}".encode()] = queries.versions(page)
                made[f"count {shape}".encode()] = sql.named("count_matching").format(matching=found)
    for name, direction in _ORDERS:
        made[f"{name} hours".encode()] = _hours(direction)
    return made


def matching(shape: str, direction: str, server_version: int) -> str:
    """Return what finds the ids for a filter of this shape, from one end on."""
    if shape == "all":
        return sql.named("match_all").format(direction=direction)
    pairs = _STRETCHES[shape]
    columns = [*(f"e.{column}" for column, _ in pairs), "e.id"]
    values = ", ".join(f"{place}.{column}" for column, place in pairs)
    begin, end = f">= ({values}, $3::uuid)", f"< ({values}, $4::uuid)"
    near, far, beside = (begin, end, "<=") if direction == "ASC" else (end, begin, ">=")
    name = "stretch" if server_version >= _FIRST_TO_END_AT_ROWS else "stretch_before_18"
    stretch = sql.named(name).format(
        columns=", ".join(columns),
        values=values,
        order=", ".join(f"{column} {direction}" for column in columns),
        near=near,
        far=far,
        first=f"{columns[0]} {beside} {values.partition(',')[0]}",
    )
    return sql.named(f"match_{shape}").format(stretch=stretch)


def _page_of(matching: str, direction: str) -> str:
    return sql.named("choose_page").format(matching=matching, direction=direction)


def _merged(shape: str, direction: str) -> str:
    stretch = sql.named(f"merge_{shape}")
    return "UNION ALL\n".join(
        stretch.format(number=number, direction=direction) for number in range(1, MERGED_MAX + 1)
    )


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


class Lists:
    """Answers list requests, a few at a time, each on a connection of its own."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._idle: list[RoundTrips] = []
        self._free = asyncio.Semaphore(_LANES)

    async def page(self, chosen: Filter, *, limit: int, offset: int) -> Page[View]:
        """Return one page of the executions that match, newest first."""
        planned = plan(chosen)
        ask = _deep_page if offset >= DEEP else _page
        return await self._answered(lambda trips: ask(trips, planned, limit, offset, queries.view))

    async def page_beside(
        self, known: Callable[[Version], _T | None], chosen: Filter, *, limit: int, offset: int
    ) -> Page[Listed | _T]:
        """Return the same page, in which what is known of the same version stands for itself.

        PostgreSQL looks up versions first, and reads what is not known.
        """
        planned = plan(chosen)
        if offset >= DEEP:
            return await self._answered(
                lambda trips: _deep_page(trips, planned, limit, offset, queries.listed)
            )
        return await self._answered(
            lambda trips: _page_beside(trips, planned, limit, offset, known)
        )

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
        return await RoundTrips.connect(conninfo, statements, planning=PLANNING)
    except (OSError, TimeoutError) as error:
        raise psycopg.OperationalError(str(error)) from error


async def _ended(trips: RoundTrips) -> None:
    with contextlib.suppress(psycopg.Error, OSError):
        await trips.close()


class _Total(Struct, frozen=True):
    """How many match, whether that is exact, and how many `uncounted` and `others` there are."""

    count: int
    is_exact: bool
    uncounted: int = 0
    others: int = 0


async def _page(
    trips: RoundTrips, planned: Plan, limit: int, offset: int, make: Callable[..., _T]
) -> Page[_T]:
    """Ask for the page and the total in one round trip."""
    _send_page(trips, planned, b"newest", limit + 1, offset)
    _send_total(trips, planned)
    listed, counted = await trips.answers()
    rows = trips.rows(listed, make)
    total = _total(trips, planned, counted)
    return Page(rows[:limit], len(rows) > limit, total.count, total.is_exact)


async def _page_beside(
    trips: RoundTrips,
    planned: Plan,
    limit: int,
    offset: int,
    known: Callable[[Version], _T | None],
) -> Page[Listed | _T]:
    """Ask for versions and the total, then for what is not known in these versions.

    If most is unknown, or something changes between the two, the whole page is asked for: it must
    be of one moment.
    """
    _send_page(trips, planned, b"versions", limit + 1, offset)
    _send_total(trips, planned)
    found, counted = await trips.answers()
    versions = trips.rows(found, Version)
    total = _total(trips, planned, counted)
    shown = [(version, known(version)) for version in versions[:limit]]
    unknown = {version.id: version for version, row in shown if row is None}
    read: dict[UUID, Listed] = {}
    if len(unknown) > limit // 2:
        return await _page(trips, planned, limit, offset, queries.listed)
    if unknown:
        _send(trips, b"several", array(unknown))
        (answer,) = await trips.answers()
        read = {row.version.id: row for row in trips.rows(answer, queries.listed)}
        if {at: row.version for at, row in read.items()} != unknown:
            return await _page(trips, planned, limit, offset, queries.listed)
    rows = [read[version.id] if row is None else row for version, row in shown]
    return Page(rows, len(versions) > limit, total.count, total.is_exact)


async def _deep_page(
    trips: RoundTrips, planned: Plan, limit: int, offset: int, make: Callable[..., _T]
) -> Page[_T]:
    """Ask for the total first: a page beyond the middle is nearer to the other end.

    All that is asked sees one snapshot, or the page would be another one.
    """
    trips.send(b"begin")
    _send_total(trips, planned)
    _, counted = await trips.answers()
    total = _total(trips, planned, counted)
    rows: list[_T] = []
    has_more = False
    if not total.is_exact or offset < total.count // 2:
        planned, skip = await _nearer(trips, planned, b"newest", offset, total)
        _send_page(trips, planned, b"newest", limit + 1, skip)
        trips.send(b"end")
        listed, _ = await trips.answers()
        rows = trips.rows(listed, make)
        has_more = len(rows) > limit
    elif offset < total.count:
        size = min(limit, total.count - offset)
        has_more = offset + size < total.count
        before = total.count - offset - size
        planned, skip = await _nearer(trips, planned, b"oldest", before, total)
        _send_page(trips, planned, b"oldest", size, skip)
        trips.send(b"end")
        listed, _ = await trips.answers()
        rows = trips.rows(listed, make)
    else:
        trips.send(b"end")
        await trips.answers()
    return Page(rows[:limit], has_more, total.count, total.is_exact)


async def _nearer(
    trips: RoundTrips, planned: Plan, order: bytes, skip: int, total: _Total
) -> tuple[Plan, int]:
    """Pass over what is counted by the hour: narrow the plan, and return what is left to skip.

    Some are in no hour yet, wherever they stand: hours are passed over until no more than that can
    be left, and then those that stand there are counted; as are those in these hours that have
    other triggers, if they are few, and the page far enough for that to be worth it.
    """
    ended = skip - total.uncounted
    far = ended >= (DEEP if planned.others is None else 20 * DEEP)
    few = total.uncounted <= UNFINISHED_MAX and total.others <= total.count // 4
    if planned.hours is None or not far or not few:
        return planned, skip
    _send(trips, order + b" hours", b"%d" % ended, *planned.hours)
    (answer,) = await trips.answers()
    for starts_at, passed in trips.rows(answer, lambda *row: row):
        lowest, before, *values = planned.listed
        if order == b"newest":
            cut = bound(ids.lowest_at(starts_at + timedelta(hours=1)))
            beyond, nearer = (cut, before), (lowest, cut)
        else:
            cut = bound(ids.lowest_at(starts_at))
            beyond, nearer = (lowest, cut), (cut, before)
        skip -= passed
        skip -= await _within(trips, planned.uncounted, beyond, total.uncounted)
        skip += await _within(trips, planned.others, beyond, passed)
        planned = replace(planned, listed=(*nearer, *values))
    return planned, skip


async def _within(trips: RoundTrips, chosen: Filter | None, bounds: Parameters, most: int) -> int:
    """Return how many of these stand there, of whom there are so many at most."""
    if chosen is None or most == 0:
        return 0
    among = plan(chosen)
    _send_count(trips, among, most, *bounds, *among.counted[2:])
    (answer,) = await trips.answers()
    (counted,) = trips.rows(answer, int)
    return counted


def _send_page(trips: RoundTrips, planned: Plan, order: bytes, take: int, skip: int) -> None:
    name, listed = order + b" of " + planned.shape.encode(), planned.listed
    if skip >= DEEP and planned.merged is not None:
        name, listed = name + b", deep", (*listed[:2], *planned.merged)
    _send(trips, name, b"%d" % take, b"%d" % skip, *listed)


def _send_total(trips: RoundTrips, planned: Plan) -> None:
    if planned.ranged:
        _send_count(trips, planned, COUNT_MAX + 1, *planned.counted)
    else:
        _send(trips, b"totals", text_array(planned.jobs or (totals.ALL_JOBS,)))


def _send_count(trips: RoundTrips, planned: Plan, most: int, *counted: bytes) -> None:
    _send(trips, b"count " + planned.shape.encode(), b"%d" % most, b"0", *counted)


def _send(trips: RoundTrips, name: bytes, *parameters: bytes) -> None:
    trips.send(name, parameters, result_format=pq.Format.BINARY)


def _total(trips: RoundTrips, planned: Plan, result: pq.abc.PGresult) -> _Total:
    if planned.ranged:
        (counted,) = trips.rows(result, int)
        return _Total(min(counted, COUNT_MAX), counted <= COUNT_MAX)
    rows = trips.rows(result, lambda *row: row)

    def counts(chosen: Filter | None) -> int:
        places = places_of(chosen.status, chosen.triggered_by) if chosen is not None else ()
        return sum(row[place] for row in rows for place in places)

    matching = sum(row[place] for row in rows for place in planned.places)
    return _Total(
        matching,
        is_exact=True,
        uncounted=counts(planned.uncounted),
        others=counts(planned.others),
    )
