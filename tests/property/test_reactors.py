"""Several servers act on one log: nothing twice, nothing left out, and no storm."""

import asyncio
import json
from typing import Any

import psycopg
import pytest

from api import wire
from api.ledger import Ledger
from domain import ids, job_commands
from domain.job_events import Plan, RetryPlan
from store import configurations, definitions, deliveries, planned_retries
from store import database as store_database
from store.configurations import Job
from store.work import Work
from tests.support import invariants
from tests.support.calls import eventually
from tests.support.ledgers import Desk, running_ledger
from tests.support.postgres import Database
from tests.support.receiver import running_receiver

pytestmark = pytest.mark.anyio

AT_ONCE = RetryPlan(1, (0,), 1, 0, ("exit_code",), ())


async def define(ledger: Ledger, *addresses: str) -> None:
    """Define the job whose runs fail."""
    configuration, configuration_digest = configurations.seal(
        Job("job-1", "nightly", "true", 300), ledger.keys
    )
    targets = definitions.Targets(on_failure=addresses)
    definition, definition_digest = definitions.seal(
        definitions.Definition("job-1", None, targets), ledger.keys
    )
    command = job_commands.CreateJob(
        at=wire.now(),
        by="operator:test",
        command_id=ledger.new_id(),
        stream_id=ids.job_stream("job-1"),
        job_id="job-1",
        definition=definition_digest,
        configuration=configuration_digest,
        plan=Plan(None, "UTC", 300, "run_once", "allow", retry=AT_ONCE),
    )
    await ledger.appender.submit(Work(command, configuration=configuration, definition=definition))


def found(database: Database, statement: str) -> list[Any]:
    """What a query returns."""
    with psycopg.connect(database.owner) as connection:
        return connection.execute(statement.encode()).fetchall()


async def test_two_servers_retry_and_note_each_failure_once(database: Database) -> None:
    """Whichever of them recorded it: one retry, one message to each address."""
    async with running_ledger(database) as first, running_ledger(database) as second:
        await define(first, "http://127.0.0.1:9/a", "http://127.0.0.1:9/b")
        desks = [Desk(first), Desk(second)]
        failed = [
            one.id
            for one in await asyncio.gather(*(desks[n % 2].ended(exit_code=1) for n in range(30)))
        ]
        retried = "SELECT retry_of FROM read.executions_1 WHERE triggered_by = 'retry'"
        noted = "SELECT webhook_id, subject FROM store.deliveries"
        await asyncio.to_thread(
            eventually,
            lambda: len(found(database, retried)) >= 30 and len(found(database, noted)) >= 60,
            "a retry and two messages for each",
        )
    assert sorted(one for (one,) in found(database, retried)) == sorted(failed)
    told = [(hook, json.loads(said)["execution_id"]) for hook, said in found(database, noted)]
    assert len(told) == len(set(told)) == 60
    invariants.check(database.owner)


async def test_many_failures_are_retried_as_fast_as_the_budget_goes(database: Database) -> None:
    """What is above it waits, and can be seen to."""
    async with running_ledger(database, retries_per_minute=3) as ledger:
        await define(ledger)
        desk = Desk(ledger)
        await asyncio.gather(*(desk.ended(exit_code=1) for _ in range(10)))
        retried = "SELECT id FROM read.executions_1 WHERE triggered_by = 'retry'"
        await asyncio.to_thread(
            eventually, lambda: len(found(database, retried)) >= 3, "what the budget allows"
        )
        waiting = await planned_retries.upcoming(ledger.pool)
        assert len(found(database, retried)) <= 4
        assert len(waiting) >= 6
        assert all(one.is_late for one in waiting)
    invariants.check(database.owner)


async def test_no_budget_means_no_automatic_retry(database: Database) -> None:
    """A setting turns them off; they are planned and wait."""
    async with running_ledger(database, retries_per_minute=0) as ledger:
        await define(ledger)
        await Desk(ledger).ended(exit_code=1)
        planned = "SELECT 1 FROM store.planned_retries WHERE retry_at < clock_timestamp()"
        await asyncio.to_thread(eventually, lambda: found(database, planned), "a late plan")
        await ledger.appender.submit(Desk(ledger).create())
        assert found(database, "SELECT 1 FROM read.executions_1 WHERE triggered_by = 'retry'") == []


async def test_a_message_that_a_server_took_with_it_is_sent_by_the_next(
    database: Database,
) -> None:
    """Nobody else gets it while it may be under way; then it is due, until its day is over."""
    here = {"webhook_networks": "127.0.0.1/32"}
    state = "SELECT state, attempts FROM store.deliveries"
    lapse = (
        "WITH lapsed AS (UPDATE store.webhooks SET resume_at = NULL)"
        " UPDATE store.deliveries SET due_at = clock_timestamp() RETURNING 1"
    )
    with running_receiver() as receiver:
        receiver.answers = [500]
        async with running_ledger(database, **here) as ledger:
            await define(ledger, receiver.url)
            await Desk(ledger).ended(exit_code=1)
            tried = "SELECT 1 FROM store.delivery_attempts"
            await asyncio.to_thread(eventually, lambda: found(database, tried), "an attempt")
        found(database, lapse)
        async with store_database.pool(database.conninfo, size=2) as pool:
            (taken,) = await deliveries.take(pool, database.keys, [], 5, failing=True)
            assert (taken.attempt, taken.url) == (2, receiver.url)
            assert await deliveries.take(pool, database.keys, [], 5, failing=True) == []
            assert await deliveries.any_pending(pool)
        found(database, lapse)
        receiver.answers = [200]
        async with running_ledger(database, **here) as ledger:
            await asyncio.to_thread(
                eventually, lambda: found(database, state) == [("delivered", 3)], "delivered"
            )
            assert not await deliveries.any_pending(ledger.pool)
        first, last = receiver.received
        assert first.message["id"] == last.message["id"]
        receiver.answers = [500]
        found(
            database,
            "UPDATE store.deliveries SET state = 'pending', due_at = clock_timestamp(),"
            " expires_at = clock_timestamp() RETURNING 1",
        )
        async with running_ledger(database, **here):
            await asyncio.to_thread(
                eventually, lambda: found(database, state) == [("given_up", 4)], "given up"
            )
