"""What a writer remembers is what stands in the log, whoever wrote it."""

import asyncio
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from domain import commands
from domain.errors import Refusal
from domain.execution import Execution
from domain.execution_rules import decide
from domain.job_commands import AboutJob
from store import appender, reading, states
from store.appender import Unavailable
from store.states import States
from store.work import ClaimNext, Done, Work
from tests.support import invariants
from tests.support.ledgers import AGENT, Desk, running_ledger
from tests.support.postgres import Database, Postgres

pytestmark = pytest.mark.anyio
_SETTINGS: Final = settings(
    max_examples=8, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_STEPS: Final = st.lists(
    st.tuples(
        st.integers(0, 1),  # which server is asked
        st.integers(0, 2),  # about which execution
        st.sampled_from(["complete", "fail", "cancel", "retry", "lose"]),
    ),
    min_size=1,
    max_size=12,
)


def _work(desk: Desk, state: Execution, asked: str) -> Work:
    match asked:
        case "complete":
            return desk.complete(state.id, state.fence)
        case "fail":
            return desk.complete(state.id, state.fence, exit_code=3)
        case "cancel":
            return desk.cancel(state.id)
        case "retry":
            return desk.retry(state.id)
        case _:
            return desk.give_up(commands.Lose, state.id)


def _expected(state: Execution, work: Work) -> object:
    """What the rules say of a command, given the history as it is stored."""
    assert not isinstance(work.command, ClaimNext | AboutJob)
    try:
        return bool(decide(state, work.command))
    except Refusal as refusal:
        return type(refusal)


def _seen(answer: Done | BaseException) -> object:
    return answer.changed if isinstance(answer, Done) else type(answer)


@_SETTINGS
@given(steps=_STEPS, news_max=st.sampled_from([1, 1000]), states_max=st.sampled_from([1, 1000]))
def test_servers_that_remember_judge_by_the_log(
    postgres: Postgres, steps: list[tuple[int, int, str]], news_max: int, states_max: int
) -> None:
    """Two servers in turn: each command is judged by all that both have recorded before."""
    asyncio.run(_in_turn(postgres, steps, news_max, states_max))


@pytest.mark.soak
@settings(_SETTINGS, max_examples=500)
@given(steps=_STEPS, news_max=st.sampled_from([1, 1000]), states_max=st.sampled_from([1, 1000]))
def test_servers_that_remember_judge_by_the_log_for_long(
    postgres: Postgres, steps: list[tuple[int, int, str]], news_max: int, states_max: int
) -> None:
    """The same 500 times."""
    asyncio.run(_in_turn(postgres, steps, news_max, states_max))


async def _in_turn(
    postgres: Postgres, steps: list[tuple[int, int, str]], news_max: int, states_max: int
) -> None:
    database = postgres.fresh()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_NEWS_MAX", news_max)
        async with (
            running_ledger(database, sweep_seconds=3600) as left,
            running_ledger(database, sweep_seconds=3600) as right,
        ):
            desks = [Desk(left), Desk(right)]
            for desk in desks:
                desk.ledger.appender._states = States(states_max)
            begun = [await desks[0].begun() for _ in range(3)]
            for server, number, asked in steps:
                work = _work(desks[server], begun[number], asked)
                expected = _expected(await desks[0].get(begun[number].id), work)
                (answer,) = await asyncio.gather(desks[server].do(work), return_exceptions=True)
                assert expected == _seen(answer)
    invariants.check(database.owner)
    postgres.drop(database)


_TEXTS: Final = st.lists(
    st.tuples(
        st.integers(0, 1),  # which server is asked
        st.sampled_from(["blue", "red"]),  # about which configuration
        st.sampled_from(["run", "run", "erase", "erase and run", "run and erase"]),
    ),
    min_size=1,
    max_size=10,
)


@_SETTINGS
@given(steps=_TEXTS, stored_max=st.sampled_from([1, 1000]), part=st.sampled_from([1, 32]))
@example(steps=[(1, "red", "erase"), (0, "red", "run")], stored_max=1000, part=32)
@example(steps=[(0, "red", "erase"), (0, "red", "run")], stored_max=1000, part=32)
@example(steps=[(0, "red", "erase and run")], stored_max=1000, part=1)
@example(steps=[(0, "red", "run and erase"), (0, "red", "run")], stored_max=1000, part=1)
def test_a_configuration_is_stored_if_it_was_brought_last(
    postgres: Postgres, steps: list[tuple[int, str, str]], stored_max: int, part: int
) -> None:
    """Two servers in turn bring and erase the same two texts, also in one batch: none is lost."""
    asyncio.run(_brought_and_erased(postgres, steps, stored_max, part))


async def _brought_and_erased(
    postgres: Postgres, steps: list[tuple[int, str, str]], stored_max: int, part: int
) -> None:
    database = postgres.fresh()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(states, "STORED_MAX", stored_max)
        patch.setattr(appender, "_PART", part)
        async with (
            running_ledger(database, sweep_seconds=3600) as left,
            running_ledger(database, sweep_seconds=3600) as right,
        ):
            desks = [Desk(left), Desk(right)]
            ended = {color: await desks[0].ended(color=color) for color in ("blue", "red")}
            for server, color, asked in steps:
                desk, one = desks[server], ended[color]
                digest = one.configuration.sha256
                erase, run = desk.erase(one.id, configuration=digest), desk.create(color=color)
                works = {
                    "run": [run],
                    "erase": [erase],
                    "erase and run": [erase, run],
                    "run and erase": [desk.create(color=color, claim_agent_id=AGENT), erase],
                }[asked]
                # What is handed in together is one batch.
                for done in await asyncio.gather(*map(desk.do, works)):
                    if done.execution is not None and done.execution.status == "pending":
                        await desk.do(desk.cancel(done.execution.id))
                assert _is_stored(database, digest) == (asked in {"run", "erase and run"})
    invariants.check(database.owner)
    postgres.drop(database)


def _is_stored(database: Database, digest: str) -> bool:
    with database.as_owner() as owner:
        found = owner.execute(
            "SELECT 1 FROM store.configurations WHERE digest = decode(%s, 'hex')", [digest]
        ).fetchone()
    return found is not None


async def test_a_writer_writes_a_known_configuration_no_more(database: Database) -> None:
    """Given the same job runs again, its configuration is not sent to the database again."""
    async with running_ledger(database) as ledger:
        desk = Desk(ledger)
        first = await desk.ended()
        with database.as_owner() as owner:
            owner.execute("DELETE FROM store.configurations")
        await desk.ended()
        assert not _is_stored(database, first.configuration.sha256)


async def test_a_writer_does_not_go_on_after_another_history(database: Database) -> None:
    """Given the last event that a server saw is another now, it records nothing more."""
    async with running_ledger(database) as ledger:
        desk = Desk(ledger)
        await desk.begun()
        with database.as_owner() as owner, owner.transaction():
            owner.execute("ALTER TABLE ledger.events DISABLE TRIGGER USER")
            owner.execute("UPDATE ledger.events SET leaf_hash = sha256('x') WHERE position = 2")

        for _ in range(2):
            with pytest.raises(Unavailable):
                await desk.do(desk.create())

        with database.as_owner() as owner:
            row: Any = owner.execute("SELECT max(position) FROM ledger.events").fetchone()
    assert row[0] == 2
