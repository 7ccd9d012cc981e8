"""Questions over everything: which jobs did not run, and which agents there are."""

import asyncio
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool

from domain import ids
from projections import schedules, sql
from projections.schedules import GRACE, Due
from store import configurations

AGENTS_MAX: Final = 1000
RUNNING_MAX: Final = 100


class Missed(Struct, frozen=True):
    """A job that was due and did not run; `last_id` is its newest execution."""

    job_id: str
    job_name: str
    schedule: str
    time_zone: str | None
    due_at: datetime
    last_id: UUID
    last_status: str


class KnownAgent(Struct, frozen=True):
    """An agent, and what it runs."""

    agent_id: str
    last_seen_at: datetime
    token_bound: bool
    version: str | None
    labels: list[str] | None
    concurrency: int | None
    running_count: int
    running: list[UUID]


class _Expected(Struct, frozen=True):
    job_id: str
    since: UUID
    last_id: UUID
    last_status: str
    configuration: bytes


async def missed(pool: AsyncConnectionPool[Any], now: datetime) -> list[Missed]:
    """Return the jobs whose last due run did not come, by the schedules that they name."""
    async with pool.connection() as connection:
        async with connection.cursor(binary=True, row_factory=args_row(_Expected)) as cursor:
            await cursor.execute(sql.named("expected_jobs").encode())
            expected = await cursor.fetchall()
        # Schedules are computed in Python, some 50 µs each: not while others wait.
        due = await asyncio.to_thread(_due, expected, now)
        lowest = [ids.lowest_at(when.at - GRACE) for _, when in due]
        beyond = [ids.lowest_at(when.following) for _, when in due]
        found = await connection.execute(
            sql.named("jobs_that_ran").encode(),
            {"jobs": [one.job_id for one, _ in due], "lowest": lowest, "beyond": beyond},
        )
        ran = {job_id for (job_id,) in await found.fetchall()}
    return [one for one, _ in due if one.job_id not in ran]


def _due(expected: list[_Expected], now: datetime) -> list[tuple[Missed, Due]]:
    """Return what was due, as it is shown if it did not come."""
    found = []
    for one in expected:
        job = configurations.shown(one.configuration)
        # The newest execution says whether the job is still expected.
        if job.expected_schedule is None:
            continue
        due = schedules.last_due(job.expected_schedule, job.expected_timezone, now)
        if due is None or due.at < ids.created_at(one.since) - GRACE:
            continue
        shown = Missed(
            job_id=one.job_id,
            job_name=job.job_name,
            schedule=job.expected_schedule,
            time_zone=job.expected_timezone,
            due_at=due.at,
            last_id=one.last_id,
            last_status=one.last_status,
        )
        found.append((shown, due))
    return found


async def agents(pool: AsyncConnectionPool[Any]) -> list[KnownAgent]:
    """Return the agents that were seen last, newest first."""
    async with (
        pool.connection() as connection,
        connection.cursor(row_factory=args_row(KnownAgent)) as cursor,
    ):
        await cursor.execute(
            sql.named("list_agents").encode(), {"limit": AGENTS_MAX, "running_max": RUNNING_MAX}
        )
        found: list[KnownAgent] = await cursor.fetchall()
    return found
