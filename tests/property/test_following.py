"""A follower of the log goes over every event once, in order, whoever does it and what fails."""

import asyncio
from itertools import pairwise

import psycopg
import pytest

from api.ledger import Ledger
from store import following
from store.following import Connection, Follower, Span
from tests.support.ledgers import Desk
from tests.support.postgres import Database

pytestmark = pytest.mark.anyio


class Notes:
    """What a follower was given to note, and committed or not; notes `fail` so many times."""

    def __init__(self, fail: int = 0) -> None:
        self.spans: list[Span] = []
        self._fail = fail

    async def note(self, _connection: Connection, span: Span) -> None:
        """Note one piece."""
        await asyncio.sleep(0)
        if self._fail:
            self._fail -= 1
            raise ConnectionError
        self.spans.append(span)

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

    async def note(connection: Connection, _span: Span) -> None:
        said.append(await (await connection.execute("SHOW synchronous_commit")).fetchone())

    await Follower(ledger.pool, "test", note).follow()
    async with ledger.pool.connection() as connection:
        after = await (await connection.execute("SHOW synchronous_commit")).fetchone()

    assert head > 0
    assert set(said) == {("off",)}
    assert after == ("on",)


async def test_only_events_that_are_asked_for_are_read(ledger: Ledger, head: int) -> None:
    """Those of these types in this piece, in order."""
    async with ledger.pool.connection() as connection:
        found = await following.news(connection, Span(1, head), ["execution.completed"])
        none = await following.news(connection, Span(0, head), ["job.paused"])

    assert [one.type for one in found] == ["execution.completed"] * 5
    assert [one.position for one in found] == sorted(one.position for one in found)
    assert none == []
