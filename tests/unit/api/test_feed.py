"""Followers of the ledger without HTTP: where they stand, and what a follower leaves behind."""

import contextlib
from collections.abc import Iterable
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from api.feed import Batch, Follower, Seen, Tail
from api.follow import FOLLOWERS_MAX
from api.ledger import Ledger
from api.problems import Problem
from projections import feed
from projections.feed import EVERYTHING, FeedFilter
from tests.support.ledgers import Desk

pytestmark = pytest.mark.anyio


async def _may_go_on() -> bool:
    return True


def _position(part: bytes) -> int:
    return int(part.partition(b"\n")[0].removeprefix(b"id: "))


async def _parts(follower: Follower, count: int) -> list[bytes]:
    """The first parts after the greeting."""
    parts = follower.parts()
    assert await anext(parts) == b"retry: 1000\n\n"
    found = [await anext(parts) for _ in range(count)]
    await parts.aclose()
    return found


class _Batches:
    """A tail that has prepared batches, and then goes down."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = list(batches)

    def __getattr__(self, name: str) -> Any:
        return {
            "joined": contextlib.nullcontext,
            "change": None,
            "is_broken_off": not self._batches,
        }[name]

    async def batch(self, *_: Any) -> Batch:
        return self._batches.pop(0)


def _seen(position: int) -> Seen:
    return Seen(position, "job.created", UUID(int=1), None, b"{}")


async def test_a_follower_is_told_how_far_was_looked_without_a_match() -> None:
    """At least every thousand positions, so that going on need not look at them again."""
    batches = [Batch([], 600), Batch([_seen(700)], 800), Batch([], 1700), Batch([], 2000)]
    tail = cast("Tail", _Batches(batches))

    parts = [part async for part in Follower(tail, EVERYTHING, 0, _may_go_on).parts()]

    assert parts == [
        b"retry: 1000\n\n",
        b"id: 700\nevent: recorded\ndata: {}\n\n",
        b'id: 1700\nevent: position\ndata: {"position":1700}\n\n',
        b": broken off; go on with Last-Event-ID\n\n",
    ]


async def test_who_is_behind_reads_the_table_and_then_what_all_share(ledger: Ledger) -> None:
    """No event is missed or repeated where the one ends and the other begins."""
    # given
    desk = Desk(ledger)
    await desk.ended()
    parts = Follower(ledger.tail, EVERYTHING, 1, _may_go_on).parts()
    await anext(parts)
    # when
    first = await anext(parts)
    await desk.ended()
    rest = b""
    while rest.count(b"event: recorded") < 3:
        rest += await anext(parts)
    # then
    ids = [_position(one + b"\n") for one in (first + rest).split(b"\n") if one[:3] == b"id:"]
    assert ids == [2, 3, 4, 5, 6]
    await parts.aclose()
    assert (ledger.tail.count, ledger.tail._watch, ledger.tail._recent) == (0, None, [])


async def test_what_is_remembered_is_bounded_and_has_no_hole(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who falls behind the newest events reads pages again, and gets every event once."""
    # given
    monkeypatch.setattr("api.feed._RECENT_MAX", 4)
    monkeypatch.setattr("api.feed._PAUSE_SECONDS", 0)
    desk, tail = Desk(ledger), ledger.tail
    with tail.joined():
        while tail._floor is None:
            await tail.change
        for _ in range(5):
            changed = tail.change
            await desk.ended()
            await changed
        # when
        at, found = 0, []
        while at < 15:
            batch = await tail.batch(EVERYTHING, at, 2)
            found += [event.position for event in batch.events]
            at = batch.upto
        # then
        assert found == list(range(1, 16))
        assert len(tail._recent) <= 7


async def test_a_rare_job_costs_no_walk_through_the_log(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its executions are found directly; one with many is looked for in bounded steps."""
    # given
    monkeypatch.setattr(feed, "WINDOW", 4)
    desk = Desk(ledger)
    for job in ("rare", "busy", "busy", "busy", "rare"):
        await desk.ended(job_id=job)
    rare, none = FeedFilter(job_id=("rare",)), FeedFilter(type=("job.created",))
    # when
    direct = await feed.page(ledger.pool, rare, after=0, limit=100)
    monkeypatch.setattr(feed, "STREAMS_MAX", 1)
    stepped, at = [], 0
    while at < 15:
        page = await feed.page(ledger.pool, rare, after=at, limit=100)
        assert at < page.upto <= at + 4
        stepped += [entry.position for entry in page.entries]
        at = page.upto
    # then
    assert [entry.position for entry in direct.entries] == [1, 2, 3, 13, 14, 15]
    assert (direct.upto, direct.head) == (15, 15)
    assert stepped == [1, 2, 3, 13, 14, 15]
    assert (await feed.page(ledger.pool, none, after=0, limit=100)).upto == 4


async def test_a_database_that_is_away_is_not_noticed(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that fails is made again."""
    # given
    await Desk(ledger).ended()
    monkeypatch.setattr("api.feed._AWAY_SECONDS", 0)
    read, failures = feed.page, 3

    async def fails(pool: AsyncConnectionPool[Any], *rest: Any, **named: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise psycopg.OperationalError("away")
        return await read(pool, *rest, **named)

    monkeypatch.setattr(feed, "page", fails)
    # when
    (part,) = await _parts(Follower(ledger.tail, EVERYTHING, 2, _may_go_on), 1)
    # then
    assert _position(part) == 3


async def test_a_server_that_stops_ends_a_wait_and_one_too_many_is_refused(
    ledger: Ledger,
) -> None:
    """A follower that waits is told to go on elsewhere."""
    parts = Follower(ledger.tail, EVERYTHING, 0, _may_go_on).parts()
    await anext(parts)
    ledger.tail.count, before = FOLLOWERS_MAX, ledger.tail.count
    with pytest.raises(Problem, match="1000 followers"):
        ledger.tail.check_room()
    ledger.tail.count = before

    ledger.waiting.stop()

    assert [part async for part in parts] == [b": broken off; go on with Last-Event-ID\n\n"]
