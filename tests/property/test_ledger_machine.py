"""Everything that can be asked, in any order and at once, on the real store against a model."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from api.shown_rows import ShownRows
from domain import commands, errors
from domain.job_commands import AboutJob
from store.work import Done, Work
from tests.property.model import (
    AGENTS,
    Asked,
    Cancel,
    Claim,
    Complete,
    Create,
    Erase,
    Expire,
    GiveUp,
    Known,
    Model,
    Retry,
    Verdict,
)
from tests.support import invariants, shown
from tests.support.ledgers import SECRET, Desk, running_ledger
from tests.support.postgres import Postgres

_KEYS: Final = st.none() | st.sampled_from(["k1", "k2", "k3"])
_TARGETS: Final = st.integers(0, 11)
LONG_AGO: Final = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)
_SLOTS: Final = [UUID(f"01900000-0000-7000-8000-00000000010{n}") for n in range(4)]

_CREATES: Final = st.builds(
    Create,
    color=st.sampled_from(["red", "blue"]),
    slot=st.none() | st.integers(0, len(_SLOTS) - 1),
    key=_KEYS,
    pin=st.none() | st.sampled_from(AGENTS),
    claim=st.none() | st.sampled_from(AGENTS),
    labels=st.sampled_from([(), (), ("gpu",), ("gpu", "ssd"), ("ssd",)]),
    hurried=st.booleans(),
    late=st.booleans(),
)
_CLAIMS: Final = st.builds(
    Claim,
    agent=st.sampled_from(AGENTS),
    key=_KEYS,
    labels=st.sampled_from([(), ("gpu",), ("arm", "gpu", "ssd")]),
)
_EXPIRES: Final = st.builds(Expire, target=_TARGETS)
_COMPLETES: Final = st.builds(
    Complete,
    target=_TARGETS,
    outcome=st.sampled_from(["exited", "exited", "timed_out", "canceled"]),
    exit_code=st.sampled_from([0, 3]),
    right_lease=st.sampled_from([True, True, True, False]),
    late=st.booleans(),
)
_CANCELS: Final = st.builds(Cancel, target=_TARGETS)
_RETRIES: Final = st.builds(Retry, target=_TARGETS, key=_KEYS)
_GIVE_UPS: Final = st.builds(
    GiveUp,
    target=_TARGETS,
    kind=st.sampled_from([commands.Lose, commands.TimeOut, commands.ConfirmCancel]),
)
_ERASES: Final = st.builds(Erase, target=_TARGETS, configuration=st.booleans())
_ANYTHING: Final = st.one_of(
    *(_CREATES, _CLAIMS, _COMPLETES, _CANCELS, _RETRIES, _GIVE_UPS, _EXPIRES, _ERASES)
)


def _seen(answer: Done | BaseException) -> Verdict:
    """What the ledger answered, as the model says it."""
    if isinstance(answer, errors.Refusal):
        return Verdict(type(answer))
    if isinstance(answer, BaseException):
        raise answer
    if answer.replayed is not None:
        return Verdict(subject=answer.replayed.execution_id, replayed=True)
    if answer.execution is None:
        return Verdict()
    state = answer.execution
    return Verdict(subject=state.id, status=state.status, changed=answer.changed)


class Machine(RuleBasedStateMachine):
    """A real ledger on a fresh database, and the model that says what it must answer."""

    postgres: Postgres  # given by the test

    def __init__(self) -> None:
        super().__init__()
        self.database = self.postgres.fresh()
        self._model = Model()
        self._rows = ShownRows()
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._stack = contextlib.AsyncExitStack()
        # The sweep stays away: giving up is one of the rules.
        running = running_ledger(self.database, sweep_seconds=3600)
        self.desk = Desk(self.runner.run(self._stack.enter_async_context(running)))

    @rule(asked=_CREATES)
    def create(self, asked: Create) -> None:
        """Create, with or without a claim, an id of the client's, a key."""
        self.ask([asked])

    @rule(asked=_CLAIMS)
    def claim(self, asked: Claim) -> None:
        """Claim, perhaps with a Claim-Id that was used before."""
        self.ask([asked])

    @rule(asked=_COMPLETES)
    def complete(self, asked: Complete) -> None:
        """Report: for the first time, again, differently, late, or with another's lease."""
        self.ask([asked])

    @rule(asked=_CANCELS)
    def cancel(self, asked: Cancel) -> None:
        """Cancel."""
        self.ask([asked])

    @rule(asked=_RETRIES)
    def retry(self, asked: Retry) -> None:
        """Retry, perhaps with a key that was used before."""
        self.ask([asked])

    @rule(asked=_GIVE_UPS)
    def give_up(self, asked: GiveUp) -> None:
        """Let the server give up on an agent."""
        self.ask([asked])

    @rule(asked=_EXPIRES)
    def expire(self, asked: Expire) -> None:
        """Let the server wait no longer for a start, whether there is a deadline or not."""
        self.ask([asked])

    @rule(asked=_ERASES)
    def erase(self, asked: Erase) -> None:
        """Erase output and messages, and perhaps the configuration."""
        self.ask([asked])

    @rule(asked=st.lists(_ANYTHING, min_size=2, max_size=12))
    def together(self, asked: list[Asked]) -> None:
        """Ask for many things at once: they meet in one batch, and are judged in order."""
        self.ask(asked)

    @invariant()
    def lists_are_never_old(self) -> None:
        """What a server remembers of its lists is what it would read."""
        self.runner.run(shown.check(self.desk.ledger, self._rows))

    def teardown(self) -> None:
        """At the end of a run every invariant holds, and all statuses are those of the model."""
        try:
            found = self.runner.run(self._statuses())
            expected = {one.id: one.status for one in self._model.known.values()}
            assert found == expected
            invariants.check(self.database.owner, secrets=[SECRET])
        finally:
            self.runner.run(self._stack.aclose())
            self.runner.close()
            self.postgres.drop(self.database)

    def ask(self, asked: Sequence[Asked]) -> None:
        """Ask for things at once; the ledger must answer as the model does."""
        works = [self._work(one) for one in asked]
        answers = self.runner.run(self._hand_in([work for work, _ in works]))
        self._model.begin()
        for one, (work, subject), answer in zip(asked, works, answers, strict=True):
            assert not isinstance(work.command, AboutJob)
            expected = self._model.apply(one, subject, work.command)
            assert _seen(answer) == expected, one

    async def _hand_in(self, works: list[Work]) -> list[Done | BaseException]:
        return await asyncio.gather(*map(self.desk.do, works), return_exceptions=True)

    def _work(self, asked: Asked) -> tuple[Work, UUID]:
        desk = self.desk
        if isinstance(asked, Create):
            slot = None if asked.slot is None else _SLOTS[asked.slot]
            pins = {"pinned_agent_id": asked.pin, "claim_agent_id": asked.claim}
            work = desk.create(
                slot,
                key=asked.key,
                color=asked.color,
                labels=asked.labels,
                start_deadline_seconds=3600 if asked.hurried else None,
                started_at=LONG_AGO if asked.late else None,
                **pins,
            )
            assert isinstance(work.command, commands.Create)
            return work, work.command.execution_id
        if isinstance(asked, Claim):
            return desk.claim(asked.agent, *asked.labels, key=asked.key), UUID(int=0)
        known = self._model.target(asked.target)
        subject = known.id if known else UUID(int=5)
        match asked:
            case Complete():
                fence = known.fence if known and known.fence and asked.right_lease else None
                return _report(desk, subject, fence, asked), subject
            case Cancel():
                return desk.cancel(subject), subject
            case Retry():
                return desk.retry(subject, key=asked.key, needed=_digest(desk, known)), subject
            case Erase():
                digest = _digest(desk, known) if asked.configuration else None
                return desk.erase(subject, configuration=digest), subject
            case GiveUp():
                return desk.give_up(asked.kind, subject), subject
            case Expire():
                return desk.expire(subject), subject

    async def _statuses(self) -> dict[UUID, str]:
        async with self.desk.ledger.pool.connection() as connection:
            cursor = await connection.execute("SELECT id, status FROM read.executions_1")
            return dict(await cursor.fetchall())


def _digest(desk: Desk, known: Known | None) -> str | None:
    """The digest of the configuration that an execution was created with."""
    if known is None:
        return None
    configuration = desk.create(color=known.wish.color).configuration
    return configuration.digest if configuration else None


def _report(desk: Desk, subject: UUID, fence: UUID | None, asked: Complete) -> Work:
    return desk.complete(
        subject,
        fence or UUID(int=1),
        outcome=asked.outcome,
        exit_code=asked.exit_code,
        ended_at=LONG_AGO if asked.late else None,
    )


SETTINGS: Final = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.timeout(600)  # only to make a failure small; without one it takes seconds
def test_the_ledger_is_its_model(postgres: Postgres) -> None:
    """Whatever is asked, one after the other or at once, the ledger answers as its model says."""
    Machine.postgres = postgres
    run_state_machine_as_test(Machine, settings=SETTINGS)


@pytest.mark.soak
def test_the_ledger_is_its_model_for_long(postgres: Postgres) -> None:
    """The same in 1,000 lives of a ledger."""
    Machine.postgres = postgres
    run_state_machine_as_test(Machine, settings=settings(SETTINGS, max_examples=1000))


_OF_ONE_STREAM: Final = st.lists(
    st.one_of(_COMPLETES, _CANCELS, _RETRIES, _GIVE_UPS), min_size=1, max_size=6
)


_PLANS: Final = st.lists(_OF_ONE_STREAM, min_size=2, max_size=12)


@settings(SETTINGS, max_examples=7)
@given(plans=_PLANS)
def test_independent_streams_do_not_hear_each_other(
    postgres: Postgres, plans: list[list[Asked]]
) -> None:
    """What is asked of many executions at once is answered as if each were alone."""
    _check_independence(postgres, plans)


@pytest.mark.soak
@settings(SETTINGS, max_examples=400)
@given(plans=_PLANS)
def test_independent_streams_do_not_hear_each_other_for_long(
    postgres: Postgres, plans: list[list[Asked]]
) -> None:
    """The same with 400 plans."""
    _check_independence(postgres, plans)


def _check_independence(postgres: Postgres, plans: list[list[Asked]]) -> None:
    at_once, in_turn = [
        asyncio.run(_verdicts(postgres, plans, at_once=at_once)) for at_once in (True, False)
    ]

    assert at_once == in_turn


async def _verdicts(
    postgres: Postgres, plans: list[list[Asked]], *, at_once: bool
) -> list[list[tuple[type[Exception] | None, str | None, bool, bool]]]:
    database = postgres.fresh()
    async with running_ledger(database, sweep_seconds=3600) as ledger:
        desk = Desk(ledger)
        talks = [_talk(desk, number, plan) for number, plan in enumerate(plans)]
        heard = await asyncio.gather(*talks) if at_once else [await talk for talk in talks]
    invariants.check(database.owner, secrets=[SECRET])
    postgres.drop(database)
    return heard


async def _talk(
    desk: Desk, number: int, plan: list[Asked]
) -> list[tuple[type[Exception] | None, str | None, bool, bool]]:
    """Ask all of a plan of one execution, one after the other."""
    state = await desk.begun()
    heard = []
    for asked in plan:
        match asked:
            case Complete():
                work = _report(desk, state.id, state.fence if asked.right_lease else None, asked)
            case Retry():
                work = desk.retry(state.id, key=asked.key and f"{asked.key} of {number}")
            case GiveUp():
                work = desk.give_up(asked.kind, state.id)
            case _:
                work = desk.cancel(state.id)
        (answer,) = await asyncio.gather(desk.do(work), return_exceptions=True)
        seen = _seen(answer)
        heard.append((seen.refused, seen.status, seen.changed, seen.replayed))
    return heard
