"""What becomes of a due time, before and under the lock: the rules without any database."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain import commands, due, errors, ids
from domain.bodies import BodyDigest
from domain.due import Room, Time
from domain.due_commands import Due, Missed, Release, Settle
from domain.due_events import TimeSkipped, TimesMissed
from domain.events import Created, Released
from domain.execution_rules import decide
from domain.job import CronJob
from domain.streams import decide as decide_any
from tests.unit.domain import histories
from tests.unit.domain.job_histories import CREATED, STREAM
from tests.unit.domain.job_histories import given as job_given

NOON: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)


def job(status: Any = "enabled", **plan: Any) -> CronJob:
    """A job, enabled and without limits unless told otherwise."""
    state = job_given(CREATED)
    assert state is not None
    return replace(state, status=status, plan=replace(state.plan, **plan))


def time(hours_ago: float, owner: CronJob) -> Time:
    """A due time so long before noon."""
    at = NOON - timedelta(hours=hours_ago)
    return Time(ids.execution_due(owner.id, at, at), at, at, owner)


def settle(owner: CronJob, *verdicts: Any) -> Settle:
    """The command that says so of times of this job."""
    return Settle(
        at=NOON,
        by="server:schedule",
        command_id=UUID(int=1),
        stream_id=STREAM,
        expected_version=owner.version,
        settled_before=NOON - HOUR,
        settled_until=NOON,
        look_at=None,
        verdicts=verdicts,
    )


def one_due(owner: CronJob) -> Due:
    """The job is due at noon."""
    return Due(ids.execution_due(owner.id, NOON, NOON), NOON, owner)


@given(
    st.lists(st.floats(0, 100), max_size=12, unique=True),
    st.sampled_from(["run_once", "skip", "run_all"]),
    st.sampled_from([None, 1, 3]),
    st.sampled_from(["enabled", "paused", "deleted"]),
    st.sampled_from([None, 3600]),
)
def test_each_time_has_one_verdict_in_order(
    ago: list[float], policy: Any, limit: int | None, status: Any, deadline: int | None
) -> None:
    """Whatever the policy: what runs and what is missed together are all times, each once."""
    owner = job(status, missed_policy=policy, missed_limit=limit, start_deadline_seconds=deadline)
    times = [time(hours, owner) for hours in sorted(ago, reverse=True)]
    found = due.verdicts(times, owner, NOON)
    runs = [one.due_at for one in found if isinstance(one, Due)]
    missed = [one for one in found if isinstance(one, Missed)]
    assert len(runs) + sum(one.count or 0 for one in missed) == len(times)
    covered = [
        [at.due_at for at in times if one.first_due_at <= at.due_at <= one.last_due_at]
        for one in missed
    ]
    assert sorted([*runs, *(at for some in covered for at in some)]) == [at.due_at for at in times]
    assert not runs or status == "enabled"
    late = [at for at in runs if NOON - at > due.GRACE]
    assert len(late) <= {"run_once": 1, "skip": 0, "run_all": limit or 1}[policy]


@given(st.integers(1, 86_400), st.integers(0, 10**6), st.integers(1, 86_400))
def test_jitter_stays_within_its_bounds(jitter: int, minute: int, gap: int) -> None:
    """Never early, never as late as the next due time, and always the same."""
    at = NOON + timedelta(minutes=minute)
    following = at + timedelta(seconds=gap)
    fires = due.jittered(STREAM, at, jitter, following)
    assert at <= fires < min(following, at + timedelta(seconds=jitter))
    assert fires == due.jittered(STREAM, at, jitter, following)


def test_the_id_of_a_due_time_is_a_uuid7_that_says_when() -> None:
    """Its millisecond is the time itself; the rest tells jobs and times apart."""
    other = UUID(int=5)
    at = ids.execution_due(STREAM, NOON, NOON)
    assert ids.is_uuid7(at)
    assert at.variant == "specified in RFC 4122"
    assert ids.created_at(at) == NOON
    assert at == ids.execution_due(STREAM, NOON, NOON)
    different = {
        at,
        ids.execution_due(other, NOON, NOON),
        ids.execution_due(STREAM, NOON + HOUR, NOON),
    }
    assert len(different) == 3


@pytest.mark.parametrize(
    ("plan", "room", "expected"),
    [
        ({}, Room(active_count=9), None),
        ({"overlap_policy": "skip"}, Room(active_count=1), "skipped overlap"),
        ({"overlap_policy": "skip"}, Room(held_count=1), "skipped overlap"),
        ({"overlap_policy": "skip"}, Room(), None),
        ({"overlap_policy": "queue"}, Room(active_count=1), "overlap"),
        ({"overlap_policy": "queue"}, Room(), None),
        ({"overlap_policy": "queue"}, Room(held_count=10), "skipped queue_full"),
        ({"overlap_policy": "queue", "missed_limit": 20}, Room(held_count=10), "overlap"),
        ({"overlap_policy": "cancel_running"}, Room(), None),
        ({"max_concurrent": 2}, Room(active_count=1), None),
        ({"max_concurrent": 2}, Room(active_count=2), "max_concurrent"),
        ({"max_concurrent": 2}, Room(active_count=1, held_count=1), "max_concurrent"),
        ({"max_concurrent_per_tag": {"db": 2}}, Room(per_tag={"db": 1}), None),
        ({"max_concurrent_per_tag": {"db": 2}}, Room(per_tag={"db": 2}), "max_concurrent_per_tag"),
    ],
)
def test_what_else_is_active_decides(
    plan: dict[str, Any], room: Room, expected: str | None
) -> None:
    """Given what is active and what waits, a due time runs, is held, or is skipped."""
    owner = job(**plan)
    (told,) = due.settle(owner, settle(owner, one_due(owner)), room, lambda _: False)
    match told.event:
        case Created(held=held):
            assert held == expected
        case TimeSkipped(reason=reason):
            assert f"skipped {reason}" == expected
        case _:
            raise AssertionError(told.event)


def test_what_has_its_fact_gets_no_other() -> None:
    """A time whose stream has a beginning is passed over."""
    owner = job()
    missed = Missed(UUID(int=9), NOON - HOUR, NOON - HOUR, "downtime", 1)
    command = settle(owner, missed, one_due(owner))
    assert due.settle(owner, command, Room(), lambda _: True) == ()


def test_what_nobody_knows_any_more_is_missed() -> None:
    """Only a time before a change of the job can run what was erased; the others run."""
    owner = job()
    former = replace(owner, version=0, configuration=BodyDigest(1, "ff" * 32))
    before = Due(UUID(int=9), NOON - HOUR, former)
    command = settle(owner, before, one_due(owner))
    assert due.former_configurations(command) == {"ff" * 32}
    missed = Missed(UUID(int=9), NOON - HOUR, NOON - HOUR, "downtime", 1)
    assert due.without_erased(command, {"ff" * 32}) == settle(owner, missed, one_due(owner))


def test_what_is_not_run_cancels_nothing() -> None:
    """Given the last of two times is missed after all, the one before it runs."""
    owner = job(overlap_policy="cancel_running")
    missed = Missed(UUID(int=9), NOON + HOUR, NOON + HOUR, "downtime", 1)
    told = due.settle(owner, settle(owner, one_due(owner), missed), Room(), lambda _: False)
    assert [type(one.event) for one in told] == [Created, TimesMissed]


@pytest.mark.parametrize("status", ["enabled", "paused", "deleted"])
@pytest.mark.parametrize("plan", [{"overlap_policy": "queue"}, {"max_concurrent": 1}])
def test_a_held_execution_waits_whatever_became_of_its_job(
    status: str, plan: dict[str, Any]
) -> None:
    """What must not run at once does not do so because somebody deletes the job."""
    held = histories.given(replace(histories.CREATED, held="overlap"))
    command = Release(NOON, "server:schedule", UUID(int=1), STREAM, histories.ONE)
    owner = job(status, **plan)
    assert due.release(held, owner, command, Room(active_count=1, held_count=1)) == ()
    (released,) = due.release(held, owner, command, Room(held_count=1))
    assert isinstance(released.event, Released)


def test_a_job_that_was_changed_is_looked_at_again() -> None:
    """The times were computed for another definition."""
    owner = job()
    with pytest.raises(errors.JobChangedMeanwhile):
        due.settle(replace(owner, version=9), settle(owner), Room(), lambda _: False)
    with pytest.raises(errors.JobNotFound):
        due.settle(None, settle(owner), Room(), lambda _: False)


def test_a_held_execution_cannot_be_claimed_and_can_be_canceled() -> None:
    """It is pending, and no agent's yet."""
    held = histories.given(replace(histories.CREATED, held="overlap"))
    start = commands.Start(NOON, "agent:a", UUID(int=1), histories.ONE, "a")
    with pytest.raises(errors.NotStartable):
        decide(held, start)
    cancel = commands.Cancel(NOON, "operator:a", UUID(int=1), histories.ONE)
    assert len(decide(held, cancel)) == 1


def test_no_execution_begins_where_nothing_ran() -> None:
    """The stream of a passed time refuses a create, and knows of no execution."""
    passed = due.PassedTimes(histories.ONE, 1, "backup", "skipped", NOON, NOON, 1, "overlap")
    with pytest.raises(errors.ExecutionExists):
        decide_any(passed, histories.create())
    cancel = commands.Cancel(NOON, "operator:a", UUID(int=1), histories.ONE)
    with pytest.raises(errors.ExecutionNotFound):
        decide_any(passed, cancel)
