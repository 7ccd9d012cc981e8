"""A follower of the log goes over every event once, in order, whoever does it and what fails."""

import asyncio
import os
import signal
from itertools import pairwise

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from api.ledger import Ledger
from store import following
from store.embedded import EmbeddedServer
from store.following import Connection, Follower, Span
from tests.support import invariants
from tests.support.embedded import PROGRAMS, open_folder
from tests.support.ledgers import Desk, running_ledger
from tests.support.postgres import Database, Postgres, copy_home

pytestmark = pytest.mark.anyio


class Notes:
    """What a follower was given to note, and committed or not; notes `fail` so many times."""

    def __init__(self, fail: int = 0) -> None:
        self.spans: list[Span] = []
        self._fail = fail

    async def note(self, _connection: Connection, span: Span) -> int:
        """Note one piece."""
        await asyncio.sleep(0)
        if self._fail:
            self._fail -= 1
            raise ConnectionError
        self.spans.append(span)
        return span.until

    def reach_from_begin_to(self, head: int) -> bool:
        """Whether the pieces are all of the log, in order, without gap or overlap."""
        ends = [span.until for span in self.spans]
        begins = [span.after for span in self.spans]
        return [0, *ends] == [*begins, head] and all(a < b for a, b in pairwise([0, *ends]))


@pytest.fixture
async def head(database: Database, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> int:
    """The last position of a log that is read in several pieces; nobody has begun to."""
    monkeypatch.setattr(following, "BATCH", 4)
    with psycopg.connect(database.owner) as connection:
        connection.execute("INSERT INTO store.followers VALUES ('test', 0)")
    for _ in range(5):
        await Desk(ledger).ended()
    assert ledger.appender.head is not None
    return ledger.appender.head.position


async def test_a_follower_goes_on_to_the_end_piece_by_piece(ledger: Ledger, head: int) -> None:
    """Whatever it wants to know of the events, its position moves past all of them."""
    notes = Notes()
    follower = Follower(ledger.pool, "test", notes.note)

    await follower.follow()
    assert notes.reach_from_begin_to(head)

    await follower.follow()
    assert notes.reach_from_begin_to(head)


async def test_what_could_not_be_noted_is_read_again(ledger: Ledger, head: int) -> None:
    """The position moves only with what was noted."""
    notes = Notes(fail=2)
    follower = Follower(ledger.pool, "test", notes.note)

    for _ in range(2):
        with pytest.raises(ConnectionError):
            await follower.follow()
    await follower.follow()

    assert notes.reach_from_begin_to(head)


async def test_several_servers_share_one_position(ledger: Ledger, head: int) -> None:
    """Whichever of them comes first takes a piece; none is taken twice."""
    notes = Notes()
    followers = [Follower(ledger.pool, "test", notes.note) for _ in range(3)]

    await asyncio.gather(*(one.follow() for one in followers))
    await followers[0].follow()

    assert notes.reach_from_begin_to(head)


async def test_only_a_followers_own_commit_does_not_wait_for_the_disk(
    ledger: Ledger, head: int
) -> None:
    """A crash takes position and notes together; what others commit afterwards makes both stay."""
    said = []

    async def note(connection: Connection, span: Span) -> int:
        said.append(await (await connection.execute("SHOW synchronous_commit")).fetchone())
        return span.until

    await Follower(ledger.pool, "test", note).follow()
    async with ledger.pool.connection() as connection:
        after = await (await connection.execute("SHOW synchronous_commit")).fetchone()

    assert head > 0
    assert set(said) == {("off",)}
    assert after == ("on",)


async def test_only_events_that_are_asked_for_are_read(ledger: Ledger, head: int) -> None:
    """Those of these types in this piece, in order."""
    async with ledger.pool.connection() as connection:
        found, until = await following.news(connection, Span(1, head), ["execution.completed"])
        none = await following.news(connection, Span(0, head), ["job.paused"])

    assert [one.type for one in found] == ["execution.completed"] * 5
    assert [one.position for one in found] == sorted(one.position for one in found)
    assert until == head
    assert none == ([], head)


async def test_no_more_is_noted_in_one_transaction_than_may_be(
    ledger: Ledger, head: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where much is to be noted a follower stops at the last of it, and goes on from there."""
    monkeypatch.setattr(following, "BATCH", 1000)
    monkeypatch.setattr(following, "NOTED_MAX", 2)
    pieces: list[list[int]] = []

    async def note(connection: Connection, span: Span) -> int:
        found, until = await following.news(connection, span, ["execution.completed"])
        pieces.append([one.position for one in found])
        return until

    await Follower(ledger.pool, "test", note).follow()

    noted = [position for piece in pieces for position in piece]
    assert [len(piece) for piece in pieces] == [2, 2, 1]
    assert noted == sorted(noted)
    assert head > 0


async def test_what_a_crash_takes_from_a_follower_it_does_again() -> None:
    """Its commit need not be durable: position and note are lost together, or neither is."""
    with open_folder() as folder:
        copy_home(folder / "home")
        with EmbeddedServer(folder / "home", bin_dir=PROGRAMS) as server:
            with psycopg.connect(server.conninfo(), autocommit=True) as connection:
                # Nobody else flushes the log of the database meanwhile.
                connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
                connection.execute("ALTER SYSTEM SET autovacuum = off")
                connection.execute("SELECT pg_reload_conf()")
            database = Postgres(server).fresh()
            async with running_ledger(database) as ledger:
                await Desk(ledger).ended()
            with psycopg.connect(database.owner) as connection:
                connection.execute("INSERT INTO store.followers VALUES ('test', 0)")

            assert _positions(database) == [("test", 0)]
            await _follow(database)
            noted = _positions(database)
            os.kill(server.postmaster_pid, signal.SIGQUIT)
            while not server.ensure_running():
                pass
            after_the_crash = _positions(database)
            await _follow(database)

            assert noted == [("noted", 3), ("test", 3)]
            assert after_the_crash == [("test", 0)]
            assert _positions(database) == noted
            invariants.check(database.owner)


def _positions(database: Database) -> list[tuple[str, int]]:
    """Of the follower and of what it notes, with a connection of its own."""
    with psycopg.connect(database.owner) as connection:
        return connection.execute(
            "SELECT name, position FROM store.followers WHERE name IN ('test', 'noted')"
            " ORDER BY name"
        ).fetchall()


async def _follow(database: Database) -> None:
    async def note(connection: Connection, span: Span) -> int:
        await connection.execute("INSERT INTO store.followers VALUES ('noted', %s)", [span.until])
        return span.until

    async with AsyncConnectionPool(database.owner, min_size=1, open=False) as pool:
        await Follower(pool, "test", note).follow()
