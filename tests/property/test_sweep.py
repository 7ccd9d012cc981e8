"""The sweep: whom it gives up on in one round, whatever is wrong with one of them."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from api import wire
from api.background import Sweeper
from domain.errors import LeaseLost
from domain.events import StreamDigest
from store import leases, output
from store.work import Done
from tests.support.ledgers import Desk, running_ledger
from tests.support.postgres import Database

pytestmark = pytest.mark.anyio


def _expire(database: Database) -> None:
    with psycopg.connect(database.owner, autocommit=True) as owner:
        owner.execute("UPDATE store.leases SET expires_at = now() - interval '1 second'")


async def test_a_bad_case_does_not_keep_the_sweep_from_the_others(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are given up in one batch; the bad one is said once, and given up when mended."""
    # given one ending among five that cannot be made
    async with running_ledger(database, sweep_seconds=3600) as ledger:
        desk, sweeper = Desk(ledger), Sweeper(ledger)
        await sweeper.sweep()
        begun = [(await desk.begun()).id for _ in range(5)]
        bad, digest = begun[0], output.digest

        async def breaking(pool: Any, execution_id: UUID, *rest: Any) -> StreamDigest:
            if execution_id == bad:
                raise ValueError("a bug")
            return await digest(pool, execution_id, *rest)

        monkeypatch.setattr(output, "digest", breaking)
        _expire(database)
        batches = ledger.appender.counters.batches
        # when
        for _ in range(2):
            await sweeper.sweep()
        # then
        assert ledger.appender.counters.batches == batches + 1
        assert [(await desk.get(one)).status for one in begun] == ["running", *["failed"] * 4]
        assert caplog.text.count("cannot give up") == 1
        # and when it is mended
        monkeypatch.setattr(output, "digest", digest)
        await sweeper.sweep()
        assert (await desk.get(bad)).status == "failed"


async def test_the_sweep_looks_once_at_a_lost_lease(database: Database) -> None:
    """Its row stays for the late outcome, but is no longer among those that are watched."""
    async with running_ledger(database, sweep_seconds=3600) as ledger:
        desk, sweeper = Desk(ledger), Sweeper(ledger)
        await sweeper.sweep()
        lost = await desk.begun()
        _expire(database)
        for _ in range(2):
            await sweeper.sweep()
        assert (await desk.get(lost.id)).status == "failed"
        assert await leases.overdue(ledger.pool, wire.now() + timedelta(hours=1)) == []
        with psycopg.connect(database.owner) as owner:
            kept = owner.execute("SELECT lost_at IS NOT NULL, given_up FROM store.leases")
            assert kept.fetchall() == [(True, True)]


async def test_nobody_is_given_up_on_by_a_sweep_that_stood_still(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given the server stands still in the middle of a sweep, the leases that ran out go on."""
    async with running_ledger(database, sweep_seconds=3600) as ledger:
        desk, sweeper, overdue = Desk(ledger), Sweeper(ledger), leases.overdue
        await sweeper.sweep()
        begun = await desk.begun()

        async def standing_still(pool: Any, trusted_until: datetime) -> list[leases.Overdue]:
            _expire(database)
            # What was in the future when it was asked lies in the past when it is looked at.
            return await overdue(pool, trusted_until - timedelta(days=1))

        monkeypatch.setattr(leases, "overdue", standing_still)
        await sweeper.sweep()
        assert (await desk.get(begun.id)).status == "running"
        assert begun.fence is not None
        lapses = ledger.settings.lapses
        assert await leases.renew(ledger.pool, begun.id, begun.fence, lapses) is not None


async def test_who_claimed_at_birth_may_report_after_being_given_up(database: Database) -> None:
    """A repeated create gets its lease again, lost or not; a repeated claim would run it again."""
    async with running_ledger(database, sweep_seconds=3600) as ledger:
        desk, sweeper = Desk(ledger), Sweeper(ledger)
        await sweeper.sweep()
        begun = await desk.begun()
        _expire(database)
        await leases.overdue(ledger.pool, wire.now() + timedelta(hours=1))
        for _ in range(2):  # marked as lost; then with the event too
            again = Done(await desk.get(begun.id))
            with pytest.raises(LeaseLost):
                await ledger.leased(again)
            assert begun.fence is not None
            token = ledger.keys.lease_token(begun.id, begun.fence)
            assert (await ledger.leased(again, at_birth=True)).lease.token == token
            await sweeper.sweep()
        assert (await desk.get(begun.id)).status == "failed"
