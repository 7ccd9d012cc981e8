"""Statements sent together: their answers come, or it is known in time that they do not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
import pytest
from psycopg import AsyncConnection

from store import roundtrip
from store.roundtrip import RoundTrips
from tests.support.postgres import Database

pytestmark = pytest.mark.anyio
_SECONDS: Final = 15.0
_LOCK: Final = 4711
_STATEMENTS: Final = {
    b"one": "SELECT 1",
    b"sleep": "SELECT pg_sleep(60)",
    b"lock": f"SELECT pg_advisory_xact_lock({_LOCK})",
    b"listen": "LISTEN heard",
}


@asynccontextmanager
async def _connected(database: Database, **options: Any) -> AsyncIterator[RoundTrips]:
    trips = await RoundTrips.connect(database.owner, _STATEMENTS, **options)
    try:
        yield trips
    finally:
        await trips.close()


async def test_a_database_that_does_not_answer_is_given_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the longest that a trip may take, whoever waits for it is told."""
    async with _connected(database) as trips, asyncio.timeout(_SECONDS):
        monkeypatch.setattr(roundtrip, "_TRIP_SECONDS", 0.1)
        trips.send(b"sleep")

        with pytest.raises(TimeoutError):
            await trips.answers()


async def test_an_answer_that_is_waited_for_holds_up_nobody(database: Database) -> None:
    """While somebody else has the lock, the event loop goes on; then the answer comes."""
    async with (
        await AsyncConnection.connect(database.owner) as holder,
        _connected(database) as trips,
        asyncio.timeout(_SECONDS),
    ):
        await holder.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
        trips.send(b"lock")
        trips.send(b"one")
        trips.end()
        waiting = asyncio.create_task(trips.answers())
        # Only an event loop that goes on gets this far.
        row = await (await holder.execute("SELECT 2")).fetchone()
        assert row == (2,)
        assert not waiting.done()

        await holder.rollback()

        assert (await waiting)[1].get_value(0, 0) == b"1"


async def test_notifications_are_heard_at_any_time(database: Database) -> None:
    """What is said while nobody asks is heard, and what comes together with an answer too."""
    heard: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
    async with (
        await AsyncConnection.connect(database.owner, autocommit=True) as speaker,
        _connected(database, hear=lambda *said: heard.put_nowait(said)) as trips,
        asyncio.timeout(_SECONDS),
    ):
        trips.send(b"listen")
        await trips.answers()

        await speaker.execute("NOTIFY heard, 'idle'")
        assert await heard.get() == (b"heard", b"idle")

        trips.send(b"one")
        await speaker.execute("NOTIFY heard, 'asking'")
        await trips.answers()
        assert await heard.get() == (b"heard", b"asking")


async def test_the_end_of_a_connection_is_felt(database: Database) -> None:
    """One who waits for the end of a connection hears of it when the database ends it."""
    async with (
        await AsyncConnection.connect(database.owner, autocommit=True) as other,
        _connected(database) as trips,
        asyncio.timeout(_SECONDS),
    ):
        assert not await trips.ended(0.01)
        backend = trips._connection.info.backend_pid

        await other.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])

        assert await trips.ended(_SECONDS)
        with pytest.raises(psycopg.OperationalError):
            await trips.answers()
