"""Batches in a row, one begun behind the other's commit: each is whole, or never was."""

import asyncio
from typing import Any, Final

import pytest
from psycopg import AsyncConnection

from store import reading
from store.appender import Unavailable
from store.roundtrip import RoundTrips
from store.work import Done
from tests.support import invariants
from tests.support.ledgers import Desk, running_ledger
from tests.support.postgres import Database

pytestmark = pytest.mark.anyio
_SECONDS: Final = 15.0


@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("trips", range(1, 9))
async def test_a_backend_that_dies_at_any_step(  # noqa: PLR0917 - what it stands on
    desk: Desk,
    owner: AsyncConnection[Any],
    monkeypatch: pytest.MonkeyPatch,
    database: Database,
    trips: int,
    overlapping: bool,  # noqa: FBT001 - pytest's
) -> None:
    """Ended before the n-th answer is read, of one batch or of several in a row: all or nothing."""
    seen = 0
    answers = RoundTrips.answers
    asked: list[asyncio.Task[Done]] = []

    async def deadly(connection: RoundTrips, **options: Any) -> list[Any]:
        nonlocal seen
        seen += 1
        if overlapping and seen <= 2 * trips:
            # It comes while a batch is under way: the next one begins behind that.
            asked.append(asyncio.create_task(desk.do(desk.create())))
        if seen == trips:
            await owner.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = %s",
                [connection._connection.info.backend_pid],
            )
        return await answers(connection, **options)

    monkeypatch.setattr(RoundTrips, "answers", deadly)
    done: list[Done | BaseException] = []
    async with asyncio.timeout(_SECONDS):
        while seen <= 2 * trips:
            done += await asyncio.gather(desk.do(desk.create()), return_exceptions=True)
        done += await asyncio.gather(*asked, return_exceptions=True)

    assert all(isinstance(one, Done) or type(one) is Unavailable for one in done)
    found = await (await owner.execute("SELECT count(*) FROM ledger.events")).fetchone()
    assert found == (sum(isinstance(one, Done) for one in done),)
    invariants.check(database.owner)


@pytest.mark.parametrize("in_company", [False, True])
async def test_the_lock_is_not_taken_early_in_company(
    desk: Desk,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    in_company: bool,  # noqa: FBT001 - pytest's
) -> None:
    """Alone a batch is begun before the last one is told; not if another server just recorded."""
    await desk.do(desk.create())
    if in_company:
        async with running_ledger(database) as other:
            await Desk(other).do(Desk(other).create())
    ask, answers = reading.ask, RoundTrips.answers
    tasks: list[asyncio.Task[Done]] = []
    told: list[bool] = []

    async def answering(connection: RoundTrips, **options: Any) -> list[Any]:
        if len(tasks) == 1:
            # It comes while the first batch is under way.
            tasks.append(asyncio.create_task(desk.do(desk.create())))
        return await answers(connection, **options)

    def watched(*arguments: Any) -> reading.Asked:
        told.append(tasks[0].done())
        return ask(*arguments)

    monkeypatch.setattr(RoundTrips, "answers", answering)
    monkeypatch.setattr(reading, "ask", watched)

    tasks.append(asyncio.create_task(desk.do(desk.create())))
    await tasks[0]
    await tasks[1]

    assert told == [False, in_company]


async def test_a_batch_that_cannot_be_begun_early_is_begun_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault while the next batch is asked for, behind a commit, costs neither of the two."""
    await desk.do(desk.create())
    ask, answers = reading.ask, RoundTrips.answers
    asked: list[asyncio.Task[Done]] = []
    faults = 0

    async def answering(connection: RoundTrips, **options: Any) -> list[Any]:
        if not asked:
            # It comes while the first batch is under way.
            asked.append(asyncio.create_task(desk.do(desk.create())))
        return await answers(connection, **options)

    def faulty(*arguments: Any) -> reading.Asked:
        nonlocal faults
        begun = ask(*arguments)
        if asked and not faults:
            faults += 1
            raise RuntimeError("half of it has left")
        return begun

    monkeypatch.setattr(RoundTrips, "answers", answering)
    monkeypatch.setattr(reading, "ask", faulty)

    first = await desk.do(desk.create())

    assert (first.changed, (await asked[0]).changed) == (True, True)
    assert faults == 1
