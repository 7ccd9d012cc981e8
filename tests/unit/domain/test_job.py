"""Every rule of a job: all states, all commands."""

from datetime import timedelta
from typing import Final

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain import errors, events, ids
from domain.errors import JobExists, JobNotFound
from domain.events import Envelope, Event, Happened
from domain.execution import evolve as evolve_execution
from domain.job import CronJob, decide, evolve
from domain.job_events import JobEvent, Plan, RetryPlan
from domain.streams import decide as decide_any
from tests.unit.domain import histories
from tests.unit.domain.histories import COMMAND, JOB, NOON, OTHER
from tests.unit.domain.job_histories import (
    CHANGED,
    COMMANDS,
    CREATED,
    DEFINITION,
    DELETED,
    ERASED,
    HISTORIES,
    LATER,
    PAUSED,
    PLAN,
    RESUMED,
    STREAM,
    TAGGED,
    change,
    create,
    given,
    pause,
)

RUN: Final = events.Created("backup", JOB, "manual", 300, 1, OTHER)
Expected = tuple[Event, ...] | type[errors.Refusal]

# For each history, what each command leads to; commands that are not named are refused: not found.
WHEN_ENABLED: Final[dict[str, Expected]] = {
    "create": JobExists,
    "create paused": JobExists,
    "change": (CHANGED,),
    "change nothing": (),
    "change and pause": (CHANGED, PAUSED),
    "change and enable": (CHANGED,),
    "pause": (PAUSED,),
    "resume": (),
    "delete": (DELETED,),
    "erase": (ERASED,),
    "run": (RUN,),
}
WHEN_CHANGED: Final = WHEN_ENABLED | {
    "change": (),
    "change nothing": (replace(CHANGED, plan=PLAN),),
    "change and pause": (PAUSED,),
    "change and enable": (),
}
WHEN_PAUSED: Final = WHEN_ENABLED | {
    "change and pause": (CHANGED,),
    "change and enable": (CHANGED, RESUMED),
    "pause": (),
    "resume": (RESUMED,),
}
WHEN_GONE: Final[dict[str, Expected]] = {
    **dict.fromkeys(COMMANDS, JobNotFound),
    "create": (CREATED,),
    "create paused": (CREATED, PAUSED),
}
# All that a deleted job had may go.
WHEN_DELETED: Final = WHEN_GONE | {
    "erase": (replace(ERASED, bodies=("00" * 32, JOB.sha256, DEFINITION.sha256)),)
}
RULES: Final[dict[str, dict[str, Expected]]] = {
    "nothing": WHEN_GONE,
    "enabled": WHEN_ENABLED,
    "changed": WHEN_CHANGED,
    "paused": WHEN_PAUSED,
    "resumed": WHEN_ENABLED,
    "deleted": WHEN_DELETED,
    "deleted while paused": WHEN_DELETED,
    "created again": WHEN_ENABLED,
}


@pytest.mark.parametrize("asked", COMMANDS)
@pytest.mark.parametrize("happened", HISTORIES)
def test_each_command_in_each_state(happened: str, asked: str) -> None:
    """Given what happened, what is asked leads to these events, or is refused for this reason."""
    state, expected = given(*HISTORIES[happened]), RULES[happened][asked]
    if isinstance(expected, type):
        with pytest.raises(expected):
            decide(state, COMMANDS[asked])
        return

    decided = decide(state, COMMANDS[asked])

    assert tuple(envelope.event for envelope in decided) == expected


def test_events_follow_those_that_were_there() -> None:
    """In the job's stream, one version after the other, told by who asked, correlated with it."""
    decided = decide(given(CREATED), change(is_enabled=False))

    assert decided == tuple(
        Envelope(STREAM, version, NOON, COMMAND, event, "operator:tok_1", STREAM)
        for version, event in ((2, CHANGED), (3, PAUSED))
    )


def test_a_run_is_a_stream_of_its_own() -> None:
    """The job's own stream does not grow; the execution is as the job's plan says."""
    state = given(replace(CREATED, plan=TAGGED), PAUSED)

    (born,) = decide(state, COMMANDS["run"])

    assert (born.originator_id, born.originator_version, born.correlation_id) == (OTHER, 1, OTHER)
    assert born.event == replace(RUN, pinned_agent_id="host-1", labels=("gpu",))


@pytest.mark.parametrize("asked", ["change", "pause", "resume", "delete", "run"])
def test_of_two_editors_the_second_is_told(asked: str) -> None:
    """A command that holds for a version is refused at any other, and says at which the job is."""
    state = given(CREATED, PAUSED, RESUMED)
    stale = replace(COMMANDS[asked], expected_version=2)

    with pytest.raises(errors.JobChangedMeanwhile, match="at version 3 now"):
        decide(state, stale)
    assert decide(state, replace(stale, expected_version=3)) == decide(state, COMMANDS[asked])


def test_a_deleted_job_is_not_found_before_it_is_changed_meanwhile() -> None:
    """Which version it had does not matter any more."""
    with pytest.raises(JobNotFound):
        decide(given(CREATED, DELETED), pause(expected_version=1))


@pytest.mark.parametrize(
    ("happened", "status", "due_since"),
    [
        ((CREATED,), "enabled", 1),
        ((CREATED, CHANGED), "enabled", 2),
        ((CREATED, replace(CHANGED, plan=TAGGED)), "enabled", 1),
        ((CREATED, replace(CHANGED, plan=replace(PLAN, timezone="UTC"))), "enabled", 2),
        ((CREATED, PAUSED), "paused", 1),
        ((CREATED, PAUSED, RESUMED), "enabled", 3),
        ((CREATED, DELETED), "deleted", 1),
        ((CREATED, PAUSED, DELETED, CREATED), "enabled", 4),
    ],
)
def test_from_when_on_its_times_count(
    happened: tuple[JobEvent, ...], status: str, due_since: int
) -> None:
    """Since it was made, resumed, or given other times; what else is changed moves nothing."""
    state = given(*happened)

    assert state is not None
    assert (state.status, state.version) == (status, len(happened))
    assert state.due_since == NOON + timedelta(seconds=due_since)
    assert state.updated_at == NOON + timedelta(seconds=len(happened))


def test_a_job_made_again_begins_anew() -> None:
    """In the same stream, with what it is then; its age counts from then."""
    again = replace(CREATED, plan=LATER)

    state = given(CREATED, DELETED, again)

    assert state is not None
    assert (state.plan, state.created_at) == (LATER, NOON + timedelta(seconds=3))


_texts = st.text(max_size=8)
_counts = st.integers(0, 2**31)
_retries = st.builds(
    RetryPlan,
    _counts,
    st.lists(_counts, max_size=3).map(tuple),
    _counts,
    _counts,
    st.just(("exit_code",)),
    st.lists(_counts, max_size=3).map(tuple),
)
_plans = st.builds(
    Plan,
    st.none() | _texts,
    _texts,
    _counts,
    st.sampled_from(["run_once", "skip", "run_all"]),
    st.sampled_from(["allow", "skip", "queue", "cancel_running"]),
    max_concurrent_per_tag=st.dictionaries(_texts, _counts, max_size=3),
    tags=st.lists(_texts, max_size=3).map(tuple),
    retry=st.none() | _retries,
)
_events: st.SearchStrategy[JobEvent] = st.one_of(
    st.builds(type(CREATED), _texts, st.just(JOB), st.just(JOB), _plans),
    st.builds(type(CHANGED), st.just(JOB), st.just(JOB), _plans),
    st.sampled_from([PAUSED, RESUMED, DELETED, ERASED]),
)


@hypothesis_given(happened=st.lists(_events, max_size=8), asked=st.sampled_from(sorted(COMMANDS)))
def test_any_history_folds_and_is_judged(happened: list[JobEvent], asked: str) -> None:
    """Events in any order fold without an error; what is decided then fits the rules again."""
    state = given(*happened)
    try:
        decided = decide(state, COMMANDS[asked])
    except errors.Refusal:
        return
    for envelope in decided:
        if envelope.originator_id == STREAM:
            state = evolve(state, envelope)
            assert isinstance(state, CronJob)
            assert state.version == envelope.originator_version
    # What is stored no more is not asked to go again: that is seen outside the log.
    if asked not in {"run", "erase", "delete"} and "create" not in asked:
        assert decide(state, COMMANDS[asked]) == ()


@pytest.mark.parametrize("asked", sorted(histories.COMMANDS))
def test_executions_do_not_hear_of_jobs(asked: str) -> None:
    """A command of an execution finds none in the stream of a job, and the other way round."""
    if not asked.startswith("create"):
        with pytest.raises(errors.ExecutionNotFound):
            decide_any(given(CREATED), histories.COMMANDS[asked])
    with pytest.raises(JobNotFound):
        decide_any(histories.given(histories.CREATED), COMMANDS["pause"])


def test_events_of_another_kind_change_nothing() -> None:
    """An execution's state is not moved by a job's event."""
    state = histories.given(histories.CREATED)
    strange = Happened(histories.ONE, 2, NOON, COMMAND, PAUSED)
    assert evolve_execution(state, strange) == state


def test_the_stream_of_a_job_is_for_ever() -> None:
    """The stream follows from the public id: this one was written into somebody's ledger."""
    assert str(ids.job_stream("backup")) == "b3b43026-85fb-574e-b104-200f6818f116"
    assert create().stream_id == ids.job_stream("backup")
