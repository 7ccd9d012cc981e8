"""Runs that stay out: told once for each due time, whoever looks and how often."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from api import wire
from api.ledger import Ledger
from api.notifying import Notifier
from domain import commands, ids
from projections import schedules
from store import deliveries, webhooks
from store.configurations import Job, seal
from store.work import Work

pytestmark = pytest.mark.anyio


async def ran_yesterday(ledger: Ledger, job_id: str, schedule: str) -> None:
    """Record an execution of two days ago, whose job names a schedule."""
    job = Job(job_id, job_id, "true", 300, expected_schedule=schedule)
    configuration, digest = seal(job, ledger.keys)
    made = ids.lowest_at(wire.now() - timedelta(days=2))
    execution_id = type(made)(int=made.int | 0x7 << 76 | 0b10 << 62 | len(job_id))
    command = commands.Create(
        at=wire.now(),
        by="operator:test",
        command_id=ledger.new_id(),
        execution_id=execution_id,
        job_id=job_id,
        configuration=digest,
        triggered_by="manual",
        timeout_seconds=300,
    )
    await ledger.appender.submit(Work(command, configuration=configuration, expected=True))


async def told(ledger: Ledger) -> list[dict[str, Any]]:
    """What was told of missed runs."""
    async with ledger.pool.connection() as connection:
        (hook,) = await webhooks.everyone(connection, ledger.keys)
        assert {one.event for one in await deliveries.of_webhook(connection, hook.id)} <= {"missed"}
        rows = await connection.execute("SELECT subject FROM store.deliveries ORDER BY subject")
        return [json.loads(subject) for (subject,) in await rows.fetchall()]


async def test_a_missed_run_is_told_once_for_each_due_time(ledger: Ledger) -> None:
    """By several servers at once, again and again; one that came is not told."""
    async with ledger.pool.connection() as connection:
        await webhooks.create(
            connection, ledger.keys, "hook", "http://127.0.0.1:9/", events=["missed"], tags=[]
        )
    await ran_yesterday(ledger, "daily", "@daily")
    await ran_yesterday(ledger, "yearly", "0 0 29 2 *")
    notifiers = [Notifier(ledger), Notifier(ledger)]
    for _ in range(3):
        await asyncio.gather(*(one.look_for_missed() for one in notifiers))
    (subject,) = await told(ledger)
    due = schedules.last_due("@daily", None, wire.now())
    assert due is not None
    assert (subject["job_id"], subject["missed"]["expected_schedule"]) == ("daily", "@daily")
    assert subject["missed"]["due_at"] == wire.timestamp(due.at)
    # A day ago it was another due time: that one is told of its own.
    async with ledger.pool.connection() as connection:
        await connection.execute("UPDATE store.told_missed SET due_at = due_at - interval '1 day'")
        await connection.execute("DELETE FROM store.deliveries")
    await notifiers[0].look_for_missed()
    assert len(await told(ledger)) == 1
