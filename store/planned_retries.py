"""Automatic retries that are to come: noted by the follower, taken when they are due."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool

from store import sql
from store.following import Connection

LISTED_MAX: Final = 1000
_AT_ONCE: Final = 100

_DROP: Final = (
    "DELETE FROM store.planned_retries"
    " WHERE execution_id = ANY(%s::uuid[]) OR job_stream = ANY(%s::uuid[])"
)
_PLAN: Final = (
    "INSERT INTO store.planned_retries (execution_id, job_stream, job_id, attempt, retry_at)"
    " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
# A server that was away for longer, or a history that was brought in from elsewhere.
_FORGET: Final = (
    "DELETE FROM store.planned_retries WHERE retry_at < clock_timestamp() - interval '1 day'"
)
_ANY_DUE: Final = "SELECT 1 FROM store.planned_retries WHERE retry_at <= clock_timestamp() LIMIT 1"
_LIST: Final = (
    "SELECT execution_id, job_stream, job_id, attempt, retry_at, retry_at < clock_timestamp()"
    " FROM store.planned_retries ORDER BY retry_at, execution_id LIMIT %s"
)


class PlannedRetry(Struct, frozen=True):
    """A failed execution and when it is tried again.

    `attempt` is the number of the attempt to come. `is_late` says that this time is past: the
    budget, or no server, has not let it come yet.
    """

    execution_id: UUID
    job_stream: UUID
    job_id: str
    attempt: int
    retry_at: datetime
    is_late: bool = False


class Noted(Struct):
    """What a piece of the log leads to: plans to drop, and then plans to make."""

    dropped: set[UUID]
    dropped_of_jobs: set[UUID]
    planned: dict[UUID, PlannedRetry]


async def note(connection: Connection, noted: Noted) -> None:
    """Write what was noted."""
    if noted.dropped or noted.dropped_of_jobs:
        await connection.execute(_DROP, [list(noted.dropped), list(noted.dropped_of_jobs)])
    for one in noted.planned.values():
        row = [one.execution_id, one.job_stream, one.job_id, one.attempt, one.retry_at]
        await connection.execute(_PLAN, row)


async def take(pool: AsyncConnectionPool[Any], per_minute: int) -> list[UUID]:
    """Return executions that are to be retried now; nobody else gets them for half a minute."""
    async with pool.connection() as connection:
        if await (await connection.execute(_ANY_DUE)).fetchone() is None:
            return []
        await connection.execute(_FORGET)
        budget = {"burst": per_minute, "per_second": per_minute / 60, "limit": _AT_ONCE}
        taken = await connection.execute(sql.named("take_retries").encode(), budget)
        return [execution_id for (execution_id,) in await taken.fetchall()]


async def drop(pool: AsyncConnectionPool[Any], execution_id: UUID) -> None:
    """Forget a plan: it is carried out, or not to be any more."""
    async with pool.connection() as connection:
        await connection.execute(_DROP, [[execution_id], []])


async def upcoming(pool: AsyncConnectionPool[Any]) -> list[PlannedRetry]:
    """Return the retries that are planned, the next one first."""
    async with (
        pool.connection() as connection,
        connection.cursor(row_factory=args_row(PlannedRetry)) as cursor,
    ):
        await cursor.execute(_LIST, [LISTED_MAX])
        found: list[PlannedRetry] = await cursor.fetchall()
    return found
