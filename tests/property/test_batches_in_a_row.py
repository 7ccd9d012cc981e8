"""Batches in a row: each is whole, or never was, and who comes back at once is in the next one."""

import asyncio
from typing import Any, Final

import pytest
from psycopg import AsyncConnection

from store.appender import Unavailable
from store.roundtrip import RoundTrips
from store.work import Done
from tests.support import invariants
from tests.support.ledgers import Desk
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

    async def deadly(connection: RoundTrips) -> list[Any]:
        nonlocal seen
        seen += 1
        if overlapping and seen <= 2 * trips:
            # It comes while a batch is under way.
            asked.append(asyncio.create_task(desk.do(desk.create())))
        if seen == trips:
            await owner.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = %s",
                [connection._connection.info.backend_pid],
            )
        return await answers(connection)

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


async def test_who_comes_back_at_once_is_in_the_next_batch(desk: Desk) -> None:
    """Clients that ask again as soon as they are told share a batch soon, however they began."""
    rounds = 30
    together = asyncio.Event()

    async def client(number: int) -> None:
        if number % 2:
            await together.wait()
        for _ in range(rounds):
            assert (await desk.do(desk.create())).changed
            together.set()  # half of them begin when the others are told
            for _ in range(10):
                await asyncio.sleep(0)

    before = desk.ledger.appender.counters.batches
    async with asyncio.timeout(_SECONDS):
        await asyncio.gather(*(client(number) for number in range(8)))

    assert desk.ledger.appender.counters.batches - before < 1.5 * rounds
