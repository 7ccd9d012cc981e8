"""Followers without HTTP: what they do when there is no room, or no database for a while."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from api.follow import FOLLOWERS_MAX, Follower
from api.ledger import Ledger
from api.problems import Problem
from store import output
from tests.support.ledgers import Desk

pytestmark = pytest.mark.anyio


async def _may_go_on() -> bool:
    return True


async def _follower(ledger: Ledger, execution_id: UUID) -> Follower:
    view = await ledger.view(execution_id)
    return Follower(ledger.followers, view, {"stdout": 0}, _may_go_on)


async def test_a_follower_too_many_is_refused(ledger: Ledger) -> None:
    """One more than a thousand is a 503 that says so, and leaves room when others have gone."""
    followers = ledger.followers
    followers.count = FOLLOWERS_MAX - 1
    followers.check_room()
    followers.count = FOLLOWERS_MAX

    with pytest.raises(Problem, match="1000 followers") as refused:
        followers.check_room()

    assert refused.value.status == 503


async def test_a_burst_of_followers_does_not_exceed_the_most(ledger: Ledger) -> None:
    """Those who were let in at the same moment are turned away again, and told to come back."""
    state = await Desk(ledger).begun()
    follower = await _follower(ledger, state.id)
    ledger.followers.count = FOLLOWERS_MAX
    parts = [part async for part in follower.parts()]
    assert parts == [b"retry: 10000\n\n: too many followers; go on with Last-Event-ID\n\n"]
    assert ledger.followers.count == FOLLOWERS_MAX
    ledger.followers.count = 0


async def test_a_database_that_is_away_is_not_noticed(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that fails is made again; the end does not come before what was to be read."""
    # given
    desk, read, failures = Desk(ledger), output.piece, 2
    state = await desk.begun()
    await desk.do(desk.complete(state.id, state.fence, ending=await desk.write(state, b"output")))

    async def fails_twice(pool: AsyncConnectionPool[Any], *rest: Any) -> bytes:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise psycopg.OperationalError("away")
        return await read(pool, *rest)

    monkeypatch.setattr(output, "piece", fails_twice)
    # when
    follower = await _follower(ledger, state.id)
    parts = [part async for part in follower.parts()]
    # then
    assert [part.partition(b"\ndata: ")[0] for part in parts] == [
        b"retry: 1000\n\n",
        b"id: 6\nevent: output",
        b"id: 6\nevent: end",
    ]
    assert ledger.followers.count == 0


async def test_the_last_follower_leaves_nothing_behind(ledger: Ledger) -> None:
    """Who goes away in the middle is forgotten, and nobody looks any more."""
    state = await Desk(ledger).begun()
    first = (await _follower(ledger, state.id)).parts()
    second = (await _follower(ledger, state.id)).parts()
    assert {await anext(first), await anext(second)} == {b"retry: 1000\n\n"}
    (feed,) = ledger.followers._feeds.values()
    assert (feed.followers, ledger.followers.count) == (2, 2)

    await first.aclose()
    await second.aclose()

    assert (ledger.followers._feeds, ledger.followers.count) == ({}, 0)


async def test_a_server_that_stops_ends_a_wait(ledger: Ledger) -> None:
    """A follower that waits for output is told to go on elsewhere."""
    state = await Desk(ledger).begun()
    parts = (await _follower(ledger, state.id)).parts()
    await anext(parts)

    ledger.waiting.stop()

    assert [part async for part in parts] == [b": broken off; go on with Last-Event-ID\n\n"]
