"""One automatic retry for each failure that asks for it, whatever else happens in which order."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from api.retrying import ACTOR, FAILED, _is_wanted, noted
from domain import commands, events, ids, job_commands, streams
from domain.bodies import BodyDigest
from domain.errors import Refusal
from domain.events import Ending, Envelope
from domain.execution import Execution
from domain.job import CronJob
from domain.job_events import Plan, RetryPlan
from domain.retrying import wait_seconds
from store import output
from store.following import News
from store.planned_retries import PlannedRetry

BODY: Final = BodyDigest(1, "00")
JOB: Final = ids.job_stream("job")
RETRY: Final = RetryPlan(2, (10, 60), 2, 300, ("exit_code", "agent_lost"), ())
START: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclasses.dataclass
class World:
    """A log, the state after it, and two servers' follower and plans, by one simulated clock."""

    now: datetime = START
    log: list[Envelope] = dataclasses.field(default_factory=list)
    recorded: list[datetime] = dataclasses.field(default_factory=list)
    states: dict[UUID, Any] = dataclasses.field(default_factory=dict)
    plans: dict[UUID, PlannedRetry] = dataclasses.field(default_factory=dict)
    position: int = 0
    made: int = 0

    def stamp(self, by: str = "operator:test") -> dict[str, Any]:
        """When and who."""
        return {"at": self.now, "by": by, "command_id": self.fresh()}

    def fresh(self) -> UUID:
        """A new id."""
        self.made += 1
        return UUID(int=self.made << 80 | self.made * 0x9E3779B1 % (1 << 32))

    def do(self, command: Any) -> bool:
        """Judge a command under the lock; tell whether anything happened."""
        try:
            told = streams.decide(self.states.get(streams.stream_of(command)), command)
        except Refusal:
            return False
        for one in told:
            self.log.append(one)
            self.recorded.append(self.now)
            self.states[one.originator_id] = streams.evolve(self.states.get(one.originator_id), one)
        return bool(told)

    def executions(self) -> list[Execution]:
        """All executions in the order in which they were made."""
        return [state for state in self.states.values() if isinstance(state, Execution)]

    def follow(self, size: int, *, crash: bool = False) -> None:
        """Read on; a crash before the commit leaves no trace."""
        news = [
            News(number + 1, one.originator_id, _type(one), self.recorded[number])
            for number, one in enumerate(self.log[: self.position + size])
        ][self.position :]
        result = noted(news, self.states)
        if crash:
            return
        self.plans = {
            key: plan
            for key, plan in self.plans.items()
            if key not in result.dropped and plan.job_stream not in result.dropped_of_jobs
        }
        self.plans = result.planned | self.plans
        self.position += len(news)

    def fire(self, *, crash: bool = False) -> None:
        """Carry out what is due; a crash before the plan is dropped leaves it there."""
        for key, plan in list(self.plans.items()):
            if plan.retry_at > self.now:
                continue
            execution, job = self.states[key], self.states.get(JOB)
            if _is_wanted(execution, job):
                stamp = self.stamp(ACTOR) | {"execution_id": key, "new_id": self.fresh()}
                self.do(commands.Retry(**stamp, automatic=True))
            if crash:
                return
            del self.plans[key]


def _type(one: Envelope) -> str:
    return str(one.event.__struct_config__.tag)


def _ending(code: int | None) -> Ending:
    reason: Any = None if code is not None else "agent_lost"
    return Ending(1, output.NOTHING, output.NOTHING, exit_code=code, failure_reason=reason)


def act(world: World, what: str, which: int, bit: bool) -> None:  # noqa: FBT001, C901, PLR0912 - drawn; a case each
    """Do one thing to the world, if it can be done."""
    known = world.executions()
    one = known[which % len(known)] if known else None
    match what, one:
        case "run", _:
            world.do(job_commands.RunJob(**world.stamp(), stream_id=JOB, new_id=world.fresh()))
        case "pause", _:
            world.do(job_commands.PauseJob(**world.stamp(), stream_id=JOB))
        case "resume", _:
            world.do(job_commands.ResumeJob(**world.stamp(), stream_id=JOB))
        case "wait", _:
            world.now += timedelta(seconds=which)
        case "follow", _:
            world.follow(1 + which % 7, crash=bit)
        case "fire", _:
            world.fire(crash=bit)
        case _, None:
            pass
        case "retry", Execution():
            stamp = world.stamp()
            world.do(commands.Retry(**stamp, execution_id=one.id, new_id=world.fresh()))
        case "start", Execution():
            world.do(commands.Start(**world.stamp(), execution_id=one.id, agent_id="a"))
        case "end", Execution():
            code = int(bit)
            stamp = world.stamp() | {"execution_id": one.id, "fence": one.fence or UUID(int=0)}
            world.do(commands.Complete(**stamp, outcome="exited", ending=_ending(code)))
        case "lose", Execution():
            world.do(commands.Lose(**world.stamp(), execution_id=one.id, ending=_ending(None)))
        case "cancel", Execution():
            world.do(commands.Cancel(**world.stamp(), execution_id=one.id))
        case _:
            raise AssertionError(what)


ACTS: Final = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("run", "pause", "resume", "wait", "follow", "fire", "retry", "cancel"),
                *("start", "end", "lose", "follow", "fire", "start", "lose", "end"),
            ]
        ),
        st.integers(0, 90),
        st.booleans(),
    ),
    max_size=60,
)


@given(ACTS)
def test_a_failure_is_retried_once_whatever_happens_in_which_order(
    acts: list[tuple[str, int, bool]],
) -> None:
    """Never twice, never after a person did, never what went well after all, never too often.

    And in the end, once everything was read, each failure that nothing stood against is retried.
    """
    world = World()
    plan = Plan(None, "UTC", 300, "run_once", "allow", retry=RETRY)
    stamp = world.stamp() | {"stream_id": JOB}
    world.do(
        job_commands.CreateJob(
            **stamp, job_id="job", definition=BODY, configuration=BODY, plan=plan
        )
    )
    for what, which, bit in [("run", 0, False), *acts]:
        act(world, what, which, bit)
    paused = world.states[JOB].status != "enabled"
    stopped_at = max(
        (n for n, one in enumerate(world.log) if _type(one) == "job.paused"), default=-1
    )
    for _ in range(4):
        world.follow(len(world.log))
        world.now += timedelta(hours=2)
        world.fire()
    retries = [
        (number, one)
        for number, one in enumerate(world.log)
        if isinstance(one.event, events.Retried) and one.actor == ACTOR
    ]
    assert len({one.originator_id for _, one in retries}) == len(retries)
    for number, one in retries:
        before = [e for e in world.log[:number] if e.originator_id == one.originator_id]
        assert not any(isinstance(e.event, events.Retried) for e in before)
        state: Any = None
        for event in before:
            state = streams.evolve(state, event)
        assert state.status == "failed"
        assert state.attempt <= RETRY.max_retries
        assert state.cancel_requested_at is None
        assert state.late is None or state.late.ending.exit_code != 0
    for state in world.executions():
        ended = next(
            (
                number
                for number, one in enumerate(world.log)
                if one.originator_id == state.id and _type(one) in FAILED
            ),
            -1,
        )
        owed = _is_wanted(state, world.states[JOB])
        assert paused or ended < stopped_at or not owed, state
    assert isinstance(world.states[JOB], CronJob)


@given(
    st.lists(st.integers(0, 10_000), min_size=1, max_size=5),
    st.integers(1, 10),
    st.integers(0, 100_000),
    st.integers(1, 20),
)
def test_waits_are_those_given_and_then_grow_up_to_the_cap(
    given_waits: list[int], factor: int, highest: int, attempt: int
) -> None:
    """The n-th is the n-th that is given; past the last each is the factor times the one before."""
    plan = RetryPlan(20, tuple(given_waits), factor, highest, ("timeout",), ())
    wait = wait_seconds(plan, attempt)
    if attempt <= len(given_waits):
        assert wait == given_waits[attempt - 1]
    else:
        cap = max(highest, given_waits[-1])
        assert wait == min(cap, wait_seconds(plan, attempt - 1) * factor)
