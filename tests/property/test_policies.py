"""What becomes of a due time, by each policy: every rule as given, when, then."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.errors import ExecutionExists, ExecutionNotFound
from projections import passed_times
from store import configurations
from tests.support.timekeeping import START, Timetable

pytestmark = pytest.mark.anyio


def at(hour: int, minute: int = 0, day: int = 30) -> datetime:
    """A time on the first day."""
    return datetime(2031, 3, day, hour, minute, tzinfo=UTC)


async def test_a_due_time_makes_one_execution_with_the_jobs_configuration(
    table: Timetable,
) -> None:
    """It is pending, triggered by the schedule, and its id begins with the due millisecond."""
    await table.define("j", "0 * * * *", labels=("gpu",), start_deadline_seconds=600)
    await table.tick(minutes=59, seconds=59)
    assert table.made("j") == []
    # when
    await table.tick(seconds=1.5)
    await table.tick()
    # then
    (row,) = table.executions("j")
    state = await table.desk.get(row["id"])
    assert (state.status, state.triggered_by, state.scheduled_for) == (
        "pending",
        "scheduled",
        at(1),
    )
    assert (state.job_id, state.labels, state.start_deadline_seconds) == ("j", ("gpu",), 600)
    assert row["id"].int >> 80 == at(1).timestamp() * 1000


async def test_a_server_sleeps_until_the_next_time(table: Timetable) -> None:
    """Precisely, and never longer than a second, since others may define jobs meanwhile."""
    await table.define("j", "0 * * * *")
    assert await table.server.tick() == 1.0
    table.server.clock.now = at(1) - timedelta(seconds=0.25)
    assert await table.server.tick() == 0.25


@pytest.mark.parametrize(
    ("plan", "made", "passed"),
    [
        ({"missed_policy": "run_once"}, [at(5)], [("missed", "downtime", at(1), at(4), 4)]),
        ({"missed_policy": "skip"}, [], [("missed", "downtime", at(1), at(5), 5)]),
        (
            {"missed_policy": "run_all", "missed_limit": 2},
            [at(4), at(5)],
            [("missed", "downtime", at(1), at(3), 3)],
        ),
        ({"missed_policy": "run_all", "missed_limit": 9}, [at(n) for n in range(1, 6)], []),
        (
            {"missed_policy": "run_once", "start_deadline_seconds": 600},
            [],
            [("missed", "start_deadline", at(1), at(5), 5)],
        ),
    ],
)
async def test_times_missed_in_a_downtime_follow_the_policy(
    table: Timetable, plan: dict[str, Any], made: list[datetime], passed: list[object]
) -> None:
    """Given no server ran for five hours, what is not made up for is recorded as missed."""
    await table.define("j", "0 * * * *", **plan)
    await table.tick()
    # when
    await table.tick(hours=5, minutes=20)
    # then
    assert (table.made("j"), table.passed("j")) == (made, passed)


async def test_a_time_on_time_makes_up_for_those_before(table: Timetable) -> None:
    """With run_once nothing runs twice in a row because it is due just now as well."""
    await table.define("j", "0 * * * *")
    await table.tick()
    await table.tick(hours=3, seconds=30)
    assert table.made("j") == [at(3)]
    assert table.passed("j") == [("missed", "downtime", at(1), at(2), 2)]


async def test_a_long_gap_is_one_fact(table: Timetable) -> None:
    """Months of a minutely job: the last time is made up for, the others are one event."""
    await table.define("j", "* * * * *")
    await table.tick()
    await table.tick(days=200, minutes=-1, seconds=90)
    end = table.server.clock.now
    made = table.made("j")
    assert made[-1] > end - timedelta(minutes=2)
    ((kind, _, first, last, count),) = table.passed("j")
    assert (kind, first, count) == ("missed", START + timedelta(minutes=1), None)
    assert last == made[0] - timedelta(minutes=1)


async def test_a_pause_is_not_made_up_for(table: Timetable) -> None:
    """Times while a job is paused are due times of nobody; the next one after it runs."""
    await table.define("j", "0 * * * *")
    await table.tick(minutes=30)
    await table.pause("j")
    await table.tick(hours=5)
    await table.resume("j")
    await table.tick(minutes=31)
    assert (table.made("j"), table.passed("j")) == ([at(6)], [])


async def test_a_due_time_belongs_to_the_definition_that_was_valid_then(table: Timetable) -> None:
    """Changed, paused or deleted just after it was due and before a server looked."""
    for job in ("changed", "paused", "deleted"):
        await table.define(job, "0 * * * *")
    await table.tick(minutes=30)
    table.server.clock.advance(minutes=30, seconds=1)
    # when
    await table.define("changed", "30 * * * *", labels=("new",))
    await table.pause("paused")
    await table.delete("deleted")
    await table.tick(minutes=29, seconds=-1)
    # then
    (row,) = table.executions("changed")
    assert (row["scheduled_for"], (await table.desk.get(row["id"])).labels) == (at(1), ())
    assert table.passed("paused") == [("missed", "paused", at(1), at(1), 1)]
    assert table.passed("deleted") == [("missed", "deleted", at(1), at(1), 1)]
    await table.tick(minutes=2)
    assert table.made("changed") == [at(1), at(1, 30)]
    assert table.made("paused") == table.made("deleted") == []


async def test_a_clock_that_steps_back_fires_nothing_again(table: Timetable) -> None:
    """And what comes after the time that was settled runs when it comes."""
    await table.define("j", "*/10 * * * *")
    await table.tick(minutes=20)
    before = table.made("j")
    for step in (-15, -3, 7, 11):
        await table.tick(minutes=step)
    assert table.made("j") == before
    await table.tick(minutes=10)
    assert table.made("j") == [*before, at(0, 30)]


async def test_jitter_is_the_same_whoever_computes_it(table: Timetable) -> None:
    """A due time fires once, later by up to its jitter, and ahead of the next one."""
    for number in range(5):
        await table.define(f"j{number}", "*/5 * * * *", jitter_seconds=3600)
    for _ in range(150):
        await table.tick(seconds=6)
    for number in range(5):
        rows = table.executions(f"j{number}")
        delays = [(row["id"].int >> 80) / 1000 - row["scheduled_for"].timestamp() for row in rows]
        assert [row["scheduled_for"] for row in rows][:2] == [at(0, 5), at(0, 10)]
        assert all(0 <= delay < 300 for delay in delays)
        assert len(set(delays)) == len(delays)


# ------------------------------------------------------------------------------------- overlaps


async def test_overlap_allow_runs_beside(table: Timetable) -> None:
    """Nothing is asked."""
    await table.define("j", "0 * * * *")
    for _ in range(3):
        await table.tick(hours=1)
    assert [row["held"] for row in table.executions("j")] == [None] * 3


async def test_overlap_skip_is_a_fact(table: Timetable) -> None:
    """While one is pending or runs, a due time is recorded as skipped, with who was in its way."""
    await table.define("j", "0 * * * *", overlap_policy="skip")
    await table.tick(hours=1)
    running = await table.start()
    assert running is not None
    await table.tick(hours=1)
    # then
    assert table.passed("j") == [("skipped", "overlap", at(2), at(2), 1)]
    assert table.rows("SELECT blocked_by FROM read.passed_times_1")[0]["blocked_by"] == running.id
    await table.end(running.id)
    await table.tick(hours=1)
    assert table.made("j") == [at(1), at(3)]


async def test_why_nothing_ran_is_listed_newest_first(table: Timetable) -> None:
    """Page by page, of one job or of all, with the job's name."""
    await table.define("j", "0 * * * *", overlap_policy="skip")
    await table.define("other", "30 1 * * *", missed_policy="skip")
    for _ in range(4):
        await table.tick(hours=1)
    pool = table.server.ledger.pool
    # when
    of_one = await passed_times.listed(pool, "j", before=None, limit=2)
    rest = await passed_times.listed(pool, "j", before=of_one[-1].row.position, limit=9)
    of_all = await passed_times.listed(pool, None, before=None, limit=9)
    # then
    assert [one.row.first_due_at for one in (*of_one, *rest)] == [at(4), at(3), at(2)]
    assert {(one.row.job_id, one.row.kind) for one in of_all} == {
        ("j", "skipped"),
        ("other", "missed"),
    }
    assert configurations.shown(of_all[0].configuration).job_name == "j"


async def test_what_nobody_noted_is_taken_on_at_start(table: Timetable) -> None:
    """As after an import: what has its fact is not acted on again, what comes next is."""
    await table.define("j", "0 * * * *", overlap_policy="skip")
    await table.define("fresh", "0 * * * *")
    for _ in range(2):
        await table.tick(hours=1)
    made, passed = table.made("j"), table.passed("j")
    with table.database.as_owner() as owner:
        owner.execute("DELETE FROM store.schedules")
    # when
    await table.server.crash()
    await table.tick()
    # then
    assert (table.made("j"), table.passed("j")) == (made, passed)
    await table.tick(hours=1)
    assert table.made("fresh")[-1] == at(3)


async def test_overlap_queue_waits_and_is_released_in_order(table: Timetable) -> None:
    """What waits is pending, says why, and no agent gets it; ten wait at most."""
    await table.define("j", "0 * * * *", overlap_policy="queue")
    for _ in range(13):
        await table.tick(hours=1)
    rows = table.executions("j")
    assert [row["held"] for row in rows] == [None, *["overlap"] * 10]
    assert {row["status"] for row in rows} == {"pending"}
    assert [passed[:2] for passed in table.passed("j")] == [("skipped", "queue_full")] * 2
    # when agents take what they get
    for row in rows:
        started = await table.start()
        assert started is not None
        assert started.id == row["id"]
        assert await table.start() is None
        await table.end(started.id)
        await table.tick()
    assert await table.start() is None


async def test_overlap_cancel_running_makes_room(table: Timetable) -> None:
    """What runs is asked to end, what waits is canceled; the new one begins once they have."""
    await table.define("j", "0 * * * *", overlap_policy="cancel_running")
    await table.tick(hours=1)
    running = await table.start()
    assert running is not None
    await table.tick(hours=1)
    await table.tick(hours=1)
    # then
    first, second, third = table.executions("j")
    assert (first["status"], second["status"], third["held"]) == ("running", "canceled", "overlap")
    assert (await table.desk.get(running.id)).cancel_requested_at is not None
    assert await table.start() is None
    await table.end(running.id)
    await table.tick()
    started = await table.start()
    assert started is not None
    assert started.id == third["id"]


async def test_a_limit_holds_runs_of_all_jobs_with_a_tag(table: Timetable) -> None:
    """Two of them at once and no more, by schedule or by hand, whichever job they are of."""
    limits: dict[str, Any] = {"tags": ("db",), "max_concurrent_per_tag": {"db": 2}}
    for job in ("a", "b", "c"):
        await table.define(job, "0 * * * *", **limits)
    await table.tick(hours=1)
    by_hand = await table.run("a")
    # then
    held = [table.executions(job)[-1]["held"] for job in ("a", "b", "c")]
    assert sorted(held, key=str) == [None, None, "max_concurrent_per_tag"]
    assert (by_hand.status, by_hand.held) == ("pending", "max_concurrent_per_tag")
    ran = set()
    while started := await table.start():
        ran.add(started.id)
        await table.end(started.id)
        await table.tick()
    assert len(ran) == 4


async def test_a_limit_of_a_job_counts_runs_by_hand(table: Timetable) -> None:
    """One at once: the second waits, however it came to be."""
    await table.define("j", "0 * * * *", max_concurrent=1)
    by_hand = await table.run("j")
    await table.tick(hours=1)
    assert by_hand.held is None
    assert table.executions("j")[-1]["held"] == "max_concurrent"


async def test_what_is_held_can_be_canceled_and_expires(table: Timetable) -> None:
    """It ends as any other pending execution does, and then keeps nobody from anything."""
    await table.define("j", "0 * * * *", overlap_policy="queue", start_deadline_seconds=3600)
    for _ in range(3):
        await table.tick(hours=1)
    _, second, third = table.executions("j")
    await table.desk.do(table.desk.cancel(second["id"]))
    await table.desk.do(table.desk.expire(third["id"]))
    await table.tick()
    assert [row["status"] for row in table.executions("j")] == ["pending", "canceled", "failed"]


async def test_a_stream_of_a_passed_time_is_no_execution(table: Timetable) -> None:
    """Nobody can make, end or find an execution where the ledger says that nothing ran."""
    await table.define("j", "0 * * * *", missed_policy="skip")
    await table.tick(hours=2)
    (row,) = table.rows("SELECT id FROM read.passed_times_1")
    with pytest.raises(ExecutionExists):
        await table.desk.do(table.desk.create(row["id"]))
    with pytest.raises(ExecutionNotFound):
        await table.desk.do(table.desk.cancel(row["id"]))
    assert await table.server.ledger.state(row["id"]) is None
