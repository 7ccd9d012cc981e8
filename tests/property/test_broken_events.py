"""A stored event that cannot be read stops its own stream, and nothing else."""

from typing import Any
from uuid import UUID

import pytest

from api.background import Sweeper
from api.problems import problem_of
from domain.errors import UnreadableHistory, UnreadableJob, UnreadableStream
from projections import as_of, queries
from projections.queries import Filter
from store.mapper import UnreadableEvent
from tests.support.ledgers import Desk, running_ledger
from tests.support.postgres import Database
from tests.support.timekeeping import Clock, time_server

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "payload",
    [b"\xff\xfe", b"{", b"{}", b'{"type":"execution.lost"}'],
    ids=["not text", "not JSON", "not an event", "another event"],
)
async def test_a_broken_event_keeps_no_agent_from_the_others(
    database: Database, payload: bytes
) -> None:
    """Given a server finds the oldest pending execution broken, a claim gets the next one."""
    async with running_ledger(database) as before:
        broken = (await Desk(before).do(Desk(before).create())).execution
        whole = (await Desk(before).do(Desk(before).create())).execution
    assert broken is not None
    assert whole is not None
    _spoil(database, payload, broken.id)

    async with running_ledger(database) as ledger:
        desk = Desk(ledger)
        claimed = (await desk.do(desk.claim())).execution
        with pytest.raises(UnreadableStream):
            await desk.do(desk.cancel(broken.id))

    assert claimed is not None
    assert whole.id == claimed.id


def _spoil(database: Database, payload: bytes, *streams: UUID, version: int = 1) -> None:
    """Put something else in the place of an event, as no server could."""
    with database.as_owner() as owner, owner.transaction():
        owner.execute("ALTER TABLE ledger.events DISABLE TRIGGER USER")
        owner.execute(
            "UPDATE ledger.events SET payload = %b WHERE stream_id = ANY(%s) AND version = %s",
            [payload, list(streams), version],
        )
        owner.execute("ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER events_are_immutable")
        owner.execute("ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER events_are_kept")


async def test_a_job_that_cannot_be_read_may_run_with_any_configuration(database: Database) -> None:
    """So none of its executions' goes; their output does."""
    async with time_server(database, Clock()) as table:
        stream = await table.define("job-1", None)
        ended = await table.desk.ended()
    _spoil(database, b"{}", stream)

    async with time_server(database, Clock()) as table:
        desk, digest = table.desk, ended.configuration.sha256
        with pytest.raises(UnreadableJob, match=r"^The history of its job .*job\.created"):
            await desk.do(desk.erase(ended.id, configuration=digest))
        assert (await desk.do(desk.erase(ended.id))).changed


@pytest.mark.parametrize("labels", [(), ("gpu",)])
async def test_any_number_of_broken_ones_keeps_no_agent_from_the_others(
    database: Database, labels: tuple[str, ...]
) -> None:
    """Given thirty broken executions ahead of two, the first two claims get those two."""
    async with running_ledger(database) as before:
        desk = Desk(before)
        made = [(await desk.do(desk.create(labels=labels))).execution for _ in range(32)]
    ids = [one.id for one in made if one is not None]
    _spoil(database, b"{}", *ids[:30])

    async with running_ledger(database) as ledger:
        desk = Desk(ledger)
        claimed = [(await desk.do(desk.claim("agent", *labels))).execution for _ in range(3)]

    assert [one and one.id for one in claimed] == [*ids[30:], None]


async def test_what_can_be_asked_of_a_broken_execution_is_answered(database: Database) -> None:
    """List and get show the last row, events the bytes, the past says what it leaves out."""
    async with running_ledger(database) as before:
        desk = Desk(before)
        broken, whole = await desk.ended(3), await desk.ended(3)
    _spoil(database, b"\xff", broken.id, version=2)

    async with running_ledger(database, retention_failure_days=0) as ledger:
        desk = Desk(ledger)
        for work in (desk.retry(broken.id), desk.erase(broken.id), desk.cancel(broken.id)):
            with pytest.raises(UnreadableStream, match=r"execution\.started"):
                await desk.do(work)
        page = await ledger.lists.page(Filter(), limit=10, offset=0)
        view = await ledger.view(broken.id)
        kinds = [entry.type for entry in await queries.events(ledger.pool, broken.id)]
        then = await as_of.moment_of(ledger.pool, await as_of.head(ledger.pool))
        past = await as_of.page(ledger.pool, Filter(), then, limit=10)
        with pytest.raises(UnreadableHistory, match=r"execution\.started"):
            await as_of.one(ledger.pool, broken.id, then.position)
        earlier = await as_of.one(ledger.pool, broken.id, 1)
        assert (await desk.do(desk.retry(whole.id))).changed
        await Sweeper(ledger).sweep()

    assert {one.row.id for one in page.rows} == {broken.id, whole.id}
    assert view.row.status == "failed"
    assert kinds == ["execution.created", "execution.started", "execution.completed"]
    assert [one.row.id for one in past.page.rows] == [whole.id]
    assert past.unreadable == [broken.id]
    assert earlier is not None
    assert earlier.row.status == "pending"


async def test_the_sweep_goes_on_past_a_broken_execution(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Two agents are gone; what cannot be read costs one line, and the other is ended."""
    async with running_ledger(database, sweep_seconds=3600) as before:
        desk = Desk(before)
        broken, whole = await desk.begun(), await desk.begun()
    _spoil(database, b"{}", broken.id)

    async with running_ledger(database, sweep_seconds=3600) as ledger:
        desk, sweeper = Desk(ledger), Sweeper(ledger)
        await sweeper.sweep()
        with database.as_owner() as owner:
            owner.execute("UPDATE store.leases SET expires_at = now() - interval '1 hour'")
        await sweeper.sweep()
        await sweeper.sweep()
        state: Any = await desk.get(whole.id)

    assert state.failure_reason == "agent_lost"
    assert sum("cannot give up" in line for line in caplog.messages) == 1


async def test_a_repeated_claim_of_a_broken_execution_is_refused(database: Database) -> None:
    """The agent that did not hear the answer is told in a sentence what is wrong: a 409."""
    async with running_ledger(database) as before:
        desk = Desk(before)
        await desk.do(desk.create())
        claimed = (await desk.do(desk.claim(key="once"))).execution
    assert claimed is not None
    _spoil(database, b"{}", claimed.id, version=2)

    async with running_ledger(database) as ledger:
        again = await Desk(ledger).do(Desk(ledger).claim(key="once"))
        with pytest.raises(UnreadableEvent) as unreadable:
            await ledger.leased(again)

    problem = problem_of(unreadable.value)
    assert (problem.status, "execution.started" in problem.detail) == (409, True)
