"""Which times of a job have come, by its history and the clock."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace

from domain.due_commands import Due, Missed, Settle
from domain.events import Happened
from domain.job_events import JobEvent, JobPaused, JobResumed
from projections.due_times import settlement
from tests.unit.domain.job_histories import CHANGED, CREATED, STREAM

MADE: Final = datetime(2026, 10, 24, tzinfo=UTC)
NEVER: Final = UUID(int=0)


def settled(
    now: datetime, *later: tuple[datetime, JobEvent], until: datetime = MADE, **plan: Any
) -> Settle:
    """What is to be said of a job made on that day, with these events after it."""
    defaults: dict[str, Any] = {"timezone": "Europe/Berlin", "missed_policy": "run_all"}
    made = replace(
        CREATED, plan=replace(CREATED.plan, **(defaults | {"missed_limit": 1000} | plan))
    )
    history = [
        Happened(STREAM, version, at, NEVER, event)
        for version, (at, event) in enumerate([(MADE, made), *later], 1)
    ]
    found = settlement(history, until, now, by="server:schedule", command_id=NEVER)
    assert found is not None
    return found


def due(found: Settle) -> list[datetime]:
    """The times at which the job runs."""
    return [one.due_at for one in found.verdicts if isinstance(one, Due)]


def test_a_night_with_an_hour_that_comes_twice() -> None:
    """At 2:30 once, each hour twice: the clock of Berlin goes back at 3:00 on 25 October."""
    now = MADE + timedelta(days=1, hours=4)
    assert due(settled(now, cron="30 2 * * *")) == [
        datetime(2026, 10, 24, 0, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
    ]
    hourly = due(settled(now, cron="0 * * * *"))
    assert hourly == [MADE + timedelta(hours=number) for number in range(1, 29)]


def test_the_next_look_is_when_the_next_time_comes() -> None:
    """None if there is none: paused, or without a schedule."""
    now = MADE + timedelta(minutes=90)
    assert settled(now, cron="0 * * * *").look_at == MADE + timedelta(hours=2)
    assert settled(now, cron=None).look_at is None
    paused = settled(now, (MADE + timedelta(minutes=1), JobPaused()), cron="0 * * * *")
    assert (paused.look_at, paused.verdicts) == (None, ())


def test_each_definition_counts_from_its_event_to_the_next() -> None:
    """A pause has no times; a new schedule has none before it was given."""
    at = [MADE + timedelta(hours=number, minutes=30) for number in range(8)]
    changed = replace(CHANGED, plan=replace(CREATED.plan, cron="15 * * * *", timezone="UTC"))
    found = settled(
        at[7],
        (at[1], JobPaused()),
        (at[3], JobResumed()),
        (at[5], changed),
        cron="0 * * * *",
    )
    times = [one.due_at if isinstance(one, Due) else one for one in found.verdicts]
    missed = times[0]
    assert isinstance(missed, Missed)
    # Three times of the first definition and two of the second have come; the last one runs.
    assert (missed.first_due_at, missed.count) == (MADE + timedelta(hours=1), 4)
    assert found.settled_until == MADE + timedelta(hours=7, minutes=15)


def test_very_many_times_are_not_looked_at_one_by_one() -> None:
    """The last ones run, as many as the policy says; the others are one fact without a count."""
    now = MADE + timedelta(days=30)
    found = settled(now, cron="* * * * *", missed_limit=300)
    missed, *runs = found.verdicts
    assert isinstance(missed, Missed)
    assert (missed.first_due_at, missed.count) == (MADE + timedelta(minutes=1), None)
    # On time is what is at most a minute late: two at the full minute.
    assert due(found) == [now - timedelta(minutes=n) for n in range(len(runs) - 1, -1, -1)]
    assert len(runs) == 302
    assert missed.last_due_at == due(found)[0] - timedelta(minutes=1)


def test_as_many_as_there_are_run_if_the_limit_allows() -> None:
    """More than are counted one by one, fewer than the limit: none is missed."""
    now = MADE + timedelta(minutes=500)
    assert due(settled(now, cron="* * * * *")) == [
        MADE + timedelta(minutes=number) for number in range(1, 501)
    ]
