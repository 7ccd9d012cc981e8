"""The one writer: each command gets its own verdict, and what it says is durable or did not happen.

Faults are made where they happen: in the connection, at the moment that is meant.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import psycopg
import pytest
from msgspec.structs import replace
from psycopg import AsyncConnection

from domain import errors
from domain.execution import Execution
from store import appender as appender_module
from store.appender import APPEND_LOCK, OutcomeUnknown, Unavailable
from store.roundtrip import RoundTrips
from store.work import Done
from tests.support import invariants
from tests.support.ledgers import Desk, running_ledger
from tests.support.postgres import Database

pytestmark = pytest.mark.anyio
_SECONDS: Final = 15.0


def _state(answer: Done | BaseException) -> Execution:
    assert isinstance(answer, Done), answer
    assert answer.execution is not None
    return answer.execution


async def _count(owner: AsyncConnection[Any]) -> int:
    row = await (await owner.execute("SELECT count(*) FROM ledger.events")).fetchone()
    assert row is not None
    return int(row[0])


async def _until(seen: Callable[[], object]) -> None:
    async with asyncio.timeout(_SECONDS):
        while not seen():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)


async def _waits_for_lock(owner: AsyncConnection[Any]) -> int:
    """Wait until a writer waits for the append lock; return its backend."""
    async with asyncio.timeout(_SECONDS):
        while True:
            cursor = await owner.execute(
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = %s"
                " AND NOT granted",
                [APPEND_LOCK],
            )
            if row := await cursor.fetchone():
                return int(row[0])


async def test_a_refusal_is_of_one_command(desk: Desk, owner: AsyncConnection[Any]) -> None:
    """Of commands in one batch those that the rules refuse are refused, and the others durable."""
    pending = desk.create()
    unknown = desk.ledger.new_id()

    one, refused, also_refused, other = await asyncio.gather(
        desk.do(pending),
        desk.do(desk.cancel(unknown)),
        desk.do(desk.retry(pending.command.execution_id)),  # type: ignore[union-attr]
        desk.do(desk.create()),
        return_exceptions=True,
    )

    assert isinstance(refused, errors.ExecutionNotFound)
    assert isinstance(also_refused, errors.NotRetryable)
    assert (await desk.get(_state(one).id)).status == "pending"
    assert (await desk.get(_state(other).id)).status == "pending"
    assert await _count(owner) == 2
    assert desk.ledger.appender.counters.batches == 1


async def test_a_poisonous_command_fails_alone(desk: Desk, owner: AsyncConnection[Any]) -> None:
    """What the database cannot store fails, and takes nothing else with it, also no answer."""
    answers = await asyncio.gather(
        desk.do(replace(desk.create(), answering=lambda done: _state(done).status)),
        desk.do(desk.create(job_id="NUL\0in it")),
        desk.do(desk.create()),
        return_exceptions=True,
    )

    assert isinstance(answers[1], psycopg.DataError)
    assert getattr(answers[0], "answer", None) == "pending"
    states = [_state(answers[0]), _state(answers[2])]
    assert [(await desk.get(state.id)).status for state in states] == ["pending"] * 2
    assert (await _count(owner), _state(await desk.do(desk.claim())).id) == (2, states[0].id)


async def test_a_full_queue_refuses_at_once(
    database: Database, owner: AsyncConnection[Any]
) -> None:
    """Over the bound a command is unavailable at once; those that were queued are recorded."""
    async with running_ledger(database, queue_max=3) as ledger:
        desk = Desk(ledger)
        await owner.execute("SELECT pg_advisory_lock(%s)", [APPEND_LOCK])
        taken = asyncio.create_task(desk.do(desk.create()))
        await _waits_for_lock(owner)
        queued = [asyncio.create_task(desk.do(desk.create())) for _ in range(3)]
        await _until(lambda: ledger.appender.queued == 3)

        with pytest.raises(Unavailable):
            await desk.do(desk.create())

        await owner.execute("SELECT pg_advisory_unlock(%s)", [APPEND_LOCK])
        answers = await asyncio.gather(taken, *queued)
    assert {_state(answer).status for answer in answers} == {"pending"}
    assert await _count(owner) == 4
    invariants.check(database.owner)


async def test_a_stopping_ledger_finishes_what_was_accepted(
    database: Database, owner: AsyncConnection[Any]
) -> None:
    """A stop commits what is queued, and refuses what comes after."""
    async with running_ledger(database) as ledger:
        desk = Desk(ledger)
        accepted = [asyncio.create_task(desk.do(desk.create())) for _ in range(20)]
        await _until(lambda: ledger.appender.queued or accepted[0].done())
    assert {_state(task.result()).status for task in accepted} == {"pending"}
    with pytest.raises(Unavailable):
        await desk.do(desk.create())
    assert await _count(owner) == 20
    invariants.check(database.owner)


async def test_a_connection_lost_before_the_commit_records_nothing(
    desk: Desk, owner: AsyncConnection[Any]
) -> None:
    """Cut while it waits for the lock, a command is unavailable and not there; the next one is."""
    await desk.begun()
    await owner.execute("SELECT pg_advisory_lock(%s)", [APPEND_LOCK])
    task = asyncio.create_task(desk.do(desk.create()))
    backend = await _waits_for_lock(owner)

    await owner.execute("SELECT pg_terminate_backend(%s)", [backend])

    async with asyncio.timeout(_SECONDS):
        with pytest.raises(Unavailable):
            await task
    await owner.execute("SELECT pg_advisory_unlock(%s)", [APPEND_LOCK])
    assert await _count(owner) == 2
    assert _state(await desk.do(desk.create())).status == "pending"


async def test_an_idle_connection_that_was_lost_is_replaced(
    desk: Desk, owner: AsyncConnection[Any]
) -> None:
    """After every backend was ended, the ledger recovers by itself."""
    await desk.begun()
    await owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    async with asyncio.timeout(_SECONDS):
        while True:
            try:
                assert _state(await desk.do(desk.create())).status == "pending"
                break
            except Unavailable:
                continue

    assert await _count(owner) == 3


class _Cut:
    """A connection that is lost once, when a COMMIT is to be answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
        self.cuts = 0
        answers, send = RoundTrips.answers, RoundTrips.send
        committing: list[RoundTrips] = []

        def watched_send(trips: RoundTrips, name: bytes, *rest: Any, **options: Any) -> None:
            if name == b"commit" and not self.cuts:
                committing.append(trips)
                if not after:
                    return  # the COMMIT never leaves
            send(trips, name, *rest, **options)

        async def cut_answers(trips: RoundTrips) -> list[Any]:
            if committing and committing[0] is trips and not self.cuts:
                self.cuts += 1
                await answers(trips)
                await trips.close()
                raise psycopg.OperationalError("the connection was cut")
            return await answers(trips)

        monkeypatch.setattr(RoundTrips, "send", watched_send)
        monkeypatch.setattr(RoundTrips, "answers", cut_answers)


async def test_a_commit_whose_answer_was_lost_is_found(
    desk: Desk, owner: AsyncConnection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut after the COMMIT took effect, a command is acknowledged, once."""
    cut = _Cut(monkeypatch, after=True)

    answer = await desk.do(desk.create(key="k"))

    assert cut.cuts == 1
    assert await _count(owner) == 1
    again = await desk.do(desk.create(key="k"))
    assert again.replayed is not None
    assert again.replayed.execution_id == _state(answer).id


async def test_a_commit_that_never_arrived_is_undone(
    desk: Desk, owner: AsyncConnection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut before the COMMIT arrived, a command is unavailable, and nothing of it is there."""
    cut = _Cut(monkeypatch, after=False)

    with pytest.raises(Unavailable) as refused:
        await desk.do(desk.create(key="k"))

    assert cut.cuts == 1
    assert not isinstance(refused.value, OutcomeUnknown)
    assert await _count(owner) == 0
    assert (await desk.do(desk.create(key="k"))).replayed is None


async def test_an_outcome_that_cannot_be_found_is_said_to_be_unknown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the database stays away the outcome is unknown; the key tells it later."""
    _Cut(monkeypatch, after=True)
    is_there = desk.ledger.appender._is_there

    async def away(*_: object) -> bool:
        raise psycopg.OperationalError("still away")

    monkeypatch.setattr(desk.ledger.appender, "_is_there", away)
    monkeypatch.setattr(appender_module, "_SETTLE_SECONDS", 0.3)

    with pytest.raises(OutcomeUnknown):
        await desk.do(desk.create(key="k"))

    monkeypatch.setattr(desk.ledger.appender, "_is_there", is_there)
    assert (await desk.do(desk.create(key="k"))).replayed is not None


async def test_what_is_told_is_prepared_before_it_is_durable(desk: Desk) -> None:
    """While the database writes, the answer is made of the verdict; it comes with the verdict."""
    counters, made = desk.ledger.appender.counters, []

    def answering(done: Done) -> str:
        made.append((_state(done).status, counters.events))
        return "created"

    done = await desk.do(replace(desk.create(), answering=answering))

    assert made == [("pending", 0)]
    assert (done.answer, counters.events) == ("created", 1)


async def test_what_was_prepared_is_not_told_of_what_was_not_recorded(
    desk: Desk, owner: AsyncConnection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer was made, the COMMIT never arrived: the caller hears of that alone."""
    cut, made = _Cut(monkeypatch, after=False), []

    def answering(done: Done) -> str:
        made.append(_state(done).status)
        return "created"

    with pytest.raises(Unavailable):
        await desk.do(replace(desk.create(), answering=answering))

    assert (cut.cuts, made, await _count(owner)) == (1, ["pending"], 0)


@pytest.mark.parametrize("leaving", [False, True])
async def test_what_was_recorded_is_told_as_prepared_though_its_commit_was_lost(
    desk: Desk,
    owner: AsyncConnection[Any],
    monkeypatch: pytest.MonkeyPatch,
    leaving: bool,  # noqa: FBT001 - pytest's
) -> None:
    """Cut after the COMMIT took effect, also while it seemed not to leave, the answer is given."""
    cut = _Cut(monkeypatch, after=True)
    torn_at: list[RoundTrips] = []
    end, send, committing = RoundTrips.end, RoundTrips.send, []

    def watched(trips: RoundTrips, name: bytes, *rest: Any, **options: Any) -> None:
        committing.extend([trips] if name == b"commit" else [])
        send(trips, name, *rest, **options)

    def torn(trips: RoundTrips) -> None:
        end(trips)
        if leaving and committing and not torn_at:
            torn_at.append(trips)
            # What has left before a connection is lost is read and done by the other end.
            raise psycopg.OperationalError("the connection was cut")

    monkeypatch.setattr(RoundTrips, "send", watched)
    monkeypatch.setattr(RoundTrips, "end", torn)

    done = await desk.do(replace(desk.create(), answering=lambda _: "created"))

    assert (cut.cuts, len(torn_at)) == ((0, 1) if leaving else (1, 0))
    assert (done.answer, await _count(owner)) == ("created", 1)


async def test_a_caller_hears_what_is_wrong_with_its_answer(
    desk: Desk, owner: AsyncConnection[Any]
) -> None:
    """What cannot be told is the error of its caller alone; what was recorded stays."""

    def answering(_: Done) -> str:
        raise errors.ConfigurationErased

    refused, told = await asyncio.gather(
        desk.do(replace(desk.create(), answering=answering)),
        desk.do(replace(desk.create(), answering=lambda _: "created")),
        return_exceptions=True,
    )

    assert isinstance(refused, errors.ConfigurationErased)
    assert isinstance(told, Done)
    assert told.answer == "created"
    assert await _count(owner) == 2
    assert desk.ledger.appender.counters.refusals == 0


async def test_two_servers_share_one_order(database: Database) -> None:
    """Positions of two writers at once have no hole, and each claim is one server's alone."""
    async with running_ledger(database) as left, running_ledger(database) as right:
        desks = [Desk(left), Desk(right)]
        created = await asyncio.gather(*(desk.do(desk.create()) for desk in desks * 40))
        claimed = await asyncio.gather(*(desk.do(desk.claim()) for desk in desks * 45))

    states = [answer.execution for answer in claimed if answer.execution is not None]
    assert {state.id for state in states} == {_state(answer).id for answer in created}
    assert len(states) == len(created) == 80
    invariants.check(database.owner)


@pytest.mark.parametrize("times", [4, 64])
async def test_one_key_makes_one_execution(desk: Desk, times: int) -> None:
    """Retries of one failed execution with one key, however many at once, make one new one."""
    failed = await desk.ended(exit_code=3)

    answers = await asyncio.gather(
        *(desk.do(desk.retry(failed.id, key="once")) for _ in range(times))
    )

    made = {a.replayed.execution_id if a.replayed is not None else _state(a).id for a in answers}
    assert len(made) == 1
    assert [a.changed for a in answers].count(True) == 1


async def test_the_key_of_a_repeat_is_kept(desk: Desk) -> None:
    """A request that changed nothing, since its id was there, still binds its key."""
    first = _state(await desk.do(desk.create(desk.ledger.new_id())))

    repeated = await desk.do(desk.create(first.id, key="k"))

    assert not repeated.changed
    with pytest.raises(errors.IdempotencyMismatch):
        await desk.do(desk.create(key="k", color="red"))


async def test_a_claim_passes_over_what_was_canceled_beside_it(desk: Desk) -> None:
    """A cancel and claims in one batch: the claims get what is left, not a refusal."""
    states = [_state(await desk.do(desk.create())) for _ in range(3)]

    _, one, other, none = await asyncio.gather(
        desk.do(desk.cancel(states[0].id)),
        *(desk.do(desk.claim()) for _ in range(3)),
    )

    assert [_state(one).id, _state(other).id] == [states[1].id, states[2].id]
    assert none.execution is None


async def test_a_claim_gets_what_was_created_before_it_in_its_batch(desk: Desk) -> None:
    """Lowest id first there too; what is created after it, it does not see."""
    lower, higher = sorted(desk.ledger.new_id() for _ in range(2))
    before, *created, first, second, third, _ = await asyncio.gather(
        desk.do(desk.claim()),
        desk.do(desk.create(higher)),
        desk.do(desk.create(lower)),
        desk.do(desk.claim()),
        desk.do(desk.claim()),
        desk.do(desk.claim()),
        desk.do(desk.create()),
    )

    assert [answer.execution for answer in (before, third)] == [None, None]
    assert [_state(answer).id for answer in (first, second)] == [lower, higher]
    assert all(answer.changed for answer in (*created, first, second))
