"""Runs as charts show them, the jobs that were ever seen, and what changed since a position."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool

from domain import ids
from projections import sql
from store import configurations

JOBS_MAX: Final = 5000


class Run(Struct, frozen=True):
    """What a chart shows of one execution; `duration_ms` is None until it has ended."""

    id: UUID
    job_id: str
    status: str
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: int | None
    failure_reason: str | None
    exit_code: int | None


class SeenJob(Struct, frozen=True):
    """A job of which something ran; the name is None if the newest configuration was erased."""

    job_id: str
    name: str | None
    schedule: str | None
    time_zone: str | None
    last_id: UUID
    last_status: str


async def seen_jobs(pool: AsyncConnectionPool[Any]) -> list[SeenJob]:
    """Return the jobs that ever ran, at most 5,000, in no useful order."""
    async with pool.connection() as connection, connection.cursor(binary=True) as cursor:
        await cursor.execute(sql.named("seen_jobs").encode(), {"limit": JOBS_MAX})
        rows = await cursor.fetchall()
    found = []
    for job_id, last_id, status, body in rows:
        job = configurations.shown(body)
        found.append(
            SeenJob(
                job_id,
                job.job_name if body is not None else None,
                job.expected_schedule,
                job.expected_timezone,
                last_id,
                status,
            )
        )
    return found


async def recent(
    pool: AsyncConnectionPool[Any], job_ids: Sequence[str], per_job: int
) -> dict[str, list[Run]]:
    """Return the newest runs of each job, oldest first."""
    found: dict[str, list[Run]] = {job_id: [] for job_id in job_ids}
    parameters = {"jobs": list(job_ids), "per_job": per_job}
    for run in sorted(await _runs(pool, "recent_runs", parameters), key=lambda run: run.id):
        found[run.job_id].append(run)
    return found


async def since(pool: AsyncConnectionPool[Any], moment: datetime, limit: int) -> list[Run]:
    """Return the newest runs that were created at or after `moment`, newest first."""
    return await _runs(pool, "runs_since", {"lowest": ids.lowest_at(moment), "limit": limit})


async def changed(
    pool: AsyncConnectionPool[Any], after: int, limit: int
) -> tuple[dict[UUID, int], int]:
    """Return the executions that the newest events after a position are about, at most `limit`.

    Each has the position of its last event; the second value is how many were not looked at.
    """
    async with pool.connection() as connection:
        cursor = await connection.execute(
            sql.named("changed_executions").encode(), {"after": after, "limit": limit}
        )
        found = dict(await cursor.fetchall())
    head = max(found.values(), default=after)
    return found, max(0, head - after - limit)


async def head(pool: AsyncConnectionPool[Any]) -> int:
    """Return the position of the last event, 0 if there is none."""
    async with pool.connection() as connection:
        row = await (await connection.execute(sql.named("head_position").encode())).fetchone()
    return int(row[0]) if row else 0


async def _runs(
    pool: AsyncConnectionPool[Any], statement: str, parameters: dict[str, Any]
) -> list[Run]:
    async with (
        pool.connection() as connection,
        connection.cursor(binary=True, row_factory=args_row(Run)) as cursor,
    ):
        await cursor.execute(sql.named(statement).encode(), parameters)
        found: list[Run] = await cursor.fetchall()
    return found
