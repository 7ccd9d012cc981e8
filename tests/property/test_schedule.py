"""No due time fires twice, and none is lost without an event: whatever clocks and servers do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from api import wire
from api.ledger import Ledger
from domain import ids
from domain.job import CronJob
from domain.streams import evolve
from projections import due_times
from store import schedules
from tests.support import due_invariants, invariants
from tests.support.calls import eventually
from tests.support.ledgers import running_ledger
from tests.support.naive_times import NaiveCron
from tests.support.postgres import Database, Postgres
from tests.support.timekeeping import Clock, TimeServer, Timetable

pytestmark = pytest.mark.anyio

# Each with a day on which its clock is changed (or nearly), before which the simulation begins. Not
# Australia/Lord_Howe, whose clock is changed by half an hour: there cronsim passes over a time.
ZONES: Final = [
    ("UTC", datetime(2031, 3, 30, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2031, 3, 29, 20, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2031, 10, 25, 20, tzinfo=UTC)),
    ("America/New_York", datetime(2032, 11, 6, 22, tzinfo=UTC)),
    ("America/New_York", datetime(2033, 3, 12, 22, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 2, 17, 12, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 11, 3, 12, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2035, 1, 1, tzinfo=UTC)),
]
CRONS: Final = [
    *("*/20 * * * *", "30 2 * * *", "15 1,2,3 * * *", "0 * * * *", "5 */3 * * *", "0 0 * * *"),
    *("59 1-3 * * *", "*/30 1-4 * * *", "30 2 * * 0", "0 2 1-31/2 * *"),
]

moves = st.one_of(
    st.tuples(st.just("clock"), st.integers(-3600, 4 * 3600)),
    st.tuples(st.just("clock"), st.integers(1, 90)),
    st.tuples(st.just("tick"), st.integers(0, 3)),
    st.tuples(st.just("all"), st.just(0)),
    st.tuples(st.just("crash"), st.integers(0, 60)),
    st.tuples(st.sampled_from(["pause", "resume", "delete", "change", "keep"]), st.integers(0, 1)),
)
plans = st.fixed_dictionaries(
    {
        "cron": st.sampled_from(CRONS),
        "missed_policy": st.sampled_from(["run_once", "skip", "run_all"]),
        "overlap_policy": st.sampled_from(["allow", "skip", "queue", "cancel_running"]),
        "jitter_seconds": st.sampled_from([None, None, 30, 7200]),
        "max_concurrent": st.sampled_from([None, None, 1]),
        "start_deadline_seconds": st.sampled_from([None, None, 1800]),
    }
)


@given(
    zone=st.sampled_from(ZONES),
    cron=st.sampled_from(CRONS),
    offsets=st.lists(st.integers(0, 4 * 86400), min_size=1, max_size=4),
)
@settings(max_examples=15)
def test_times_are_the_same_from_wherever_one_begins(
    zone: tuple[str, datetime], cron: str, offsets: list[int]
) -> None:
    """What is due after a moment does not depend on where the look began; a plain count agrees."""
    name, start = zone
    naive = NaiveCron(cron, name)
    end = start + timedelta(days=4)
    for offset in offsets:
        after = start + timedelta(seconds=offset)
        # One more than there are in that time, so that the next one is seen too.
        expected = naive.between(after, end + timedelta(days=2))
        found = due_times.between(cron, name, after, end)
        assert found == [at for at in expected if at <= end]


class Edit(Struct, frozen=True):
    """When a job became what it then was."""

    at: datetime
    job: CronJob


async def _history(table: Timetable, job_id: str) -> list[Edit]:
    stream = await _stream(table, job_id)
    found: list[Edit] = []
    state: Any = None
    for happened in stream:
        state = evolve(state, happened)
        found.append(Edit(max([happened.at, *(edit.at for edit in found[-1:])]), state))
    return found


async def _stream(table: Timetable, job_id: str) -> Sequence[Any]:
    stream = ids.job_stream(job_id)
    async with table.server.ledger.pool.connection() as connection:
        found = await schedules.histories(connection, [stream])
    return schedules.decoded(found.get(stream, ()))


async def _expected(table: Timetable, job_id: str, until: datetime) -> list[datetime]:
    """The due times of a job by its definitions one after the other."""
    edits = await _history(table, job_id)
    found: list[datetime] = []
    for edit, end in zip(edits, [*(later.at for later in edits[1:]), until], strict=True):
        plan = edit.job.plan
        if edit.job.status == "enabled" and plan.cron is not None:
            found += NaiveCron(plan.cron, plan.timezone).between(edit.at, min(end, until))
    return found


async def _move(
    move: tuple[str, int], servers: list[TimeServer], table: Timetable, zone: str, plan: Any
) -> None:
    kind, number = move
    job = f"job-{number}"
    match kind:
        case "clock":
            table.server.clock.advance(seconds=number)
        case "tick":
            await servers[number].tick()
        case "all":
            await asyncio.gather(*(server.tick() for server in servers))
        case "crash":
            tick = asyncio.ensure_future(servers[1].tick())
            for _ in range(number * 3):
                await asyncio.sleep(0)
            await servers[1].crash(tick)
        case "keep":
            started = await table.start()
            if started is not None and number:
                await table.end(started.id)
        case "change":
            await table.define(job, timezone=zone, **plan)
        case _:
            with contextlib.suppress(Exception):  # it may be deleted already
                await getattr(table, kind)(job)


@contextlib.asynccontextmanager
async def _servers(database: Database, clock: Clock) -> AsyncIterator[list[TimeServer]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(TimeServer(database, clock)) for _ in range(4)]


_DAILY: Final = {
    "cron": "30 2 * * *",
    "missed_policy": "run_all",
    "overlap_policy": "allow",
    "jitter_seconds": None,
    "max_concurrent": None,
    "start_deadline_seconds": None,
}


worlds = given(
    zone=st.sampled_from(ZONES),
    first=plans,
    second=plans,
    steps=st.lists(moves, min_size=6, max_size=16),
)


@worlds
@example(
    zone=ZONES[2],
    first=_DAILY,
    second=_DAILY | {"cron": "*/20 * * * *"},
    steps=[("all", 0), *[("clock", 1500), ("all", 0), ("crash", 9)] * 5],
)
@settings(max_examples=3)
async def test_each_due_time_has_one_fact(
    postgres: Postgres,
    zone: tuple[str, datetime],
    first: dict[str, Any],
    second: dict[str, Any],
    steps: list[tuple[str, int]],
) -> None:
    """Four servers, clocks that jump, changes of the clock, crashes at any await, edited jobs."""
    await _check_world(postgres, zone, first, second, steps)


@pytest.mark.soak
@worlds
@settings(max_examples=100)
async def test_each_due_time_has_one_fact_in_many_worlds(
    postgres: Postgres,
    zone: tuple[str, datetime],
    first: dict[str, Any],
    second: dict[str, Any],
    steps: list[tuple[str, int]],
) -> None:
    """The same, a hundred times."""
    await _check_world(postgres, zone, first, second, steps)


async def _check_world(
    postgres: Postgres,
    zone: tuple[str, datetime],
    first: dict[str, Any],
    second: dict[str, Any],
    steps: list[tuple[str, int]],
) -> None:
    name, start = zone
    database = postgres.fresh()
    clock = Clock(start)
    async with _servers(database, clock) as servers:
        table = Timetable(servers[0], database)
        await table.define("job-0", timezone=name, **first)
        await table.define("job-1", timezone=name, **second)
        # when
        for move in steps:
            await _move(move, servers, table, name, second)
        # then, once all that was ever reached has passed
        clock.now = max(clock.now, start + timedelta(days=1, hours=12))
        await servers[2].settled()
        clock.advance(hours=3)
        await servers[3].settled()
        rows = table.rows("SELECT * FROM ledger.events ORDER BY position")
        said = due_invariants.facts(rows)
        for job in ("job-0", "job-1"):
            times = await _expected(table, job, clock.now)
            facts = said.get(job, [])
            _check_facts(times, facts, clock.now)
    invariants.check(database.owner)
    postgres.drop(database)


def _check_facts(times: list[datetime], facts: list[due_invariants.Fact], now: datetime) -> None:
    for at in times:
        found = [fact for fact in facts if fact[0] <= at <= fact[1]]
        # What waits for its jitter is not settled yet.
        assert len(found) == 1 or (not found and now - at <= timedelta(hours=2))
    ends = {end for first, last, _ in facts for end in (first, last)}
    assert ends <= set(times)


async def test_running_servers_make_what_is_due_once(database: Database) -> None:
    """Two whole servers on one database, told of a job that is due already, act at once."""
    async with running_ledger(database) as one, running_ledger(database) as other:
        table = Timetable(_at_the_desk_of(other), database)
        # given a minutely job that was made a minute ago, so that it has been due since
        await table.define("j", "* * * * *")
        # then
        await asyncio.to_thread(eventually, lambda: table.executions("j"), "what was due")
        times = table.made("j")
        assert len(set(times)) == len(times)
        assert not table.passed("j")
        # What is durable is counted a moment later.
        counters = [server.appender.counters for server in (one, other)]
        await asyncio.to_thread(eventually, lambda: sum(c.events for c in counters) >= 2, "count")
    invariants.check(database.owner)


def _at_the_desk_of(ledger: Ledger) -> TimeServer:
    server = TimeServer.__new__(TimeServer)
    server.ledger = ledger
    server.clock = Clock(wire.now() - timedelta(seconds=59))
    return server
