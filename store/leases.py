"""Leases and deadlines: who may still report, and when the server stops waiting.

Operational state, not history; all times are the database's clock.
"""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from psycopg_pool import AsyncConnectionPool

from store import sql
from store.work import Lapses

LATE_OUTCOME_DAYS: Final = 7
IDEMPOTENCY_HOURS: Final = 48


class Overdue(Struct, frozen=True):
    """An execution whose agent the server gives up on; `kind` is lost, timeout or cancel."""

    execution_id: UUID
    kind: str
    started_at: datetime
    now: datetime


class Renewed(Struct, frozen=True):
    """A lease that goes on: until when, whether a cancel was requested, and whose it is."""

    expires_at: datetime
    cancel_requested: bool
    agent_id: str


async def renew(
    pool: AsyncConnectionPool[Any],
    execution_id: UUID,
    fence: UUID,
    lapses: Lapses,
    agent_id: str | None = None,
) -> Renewed | None:
    """Renew a lease; None if it is not (or no longer) held, or the execution has ended.

    Also None if it is held by another than `agent_id`, if that is given.
    """
    async with pool.connection() as connection:
        cursor = await connection.execute(
            sql.named("renew_lease").encode(),
            {
                "execution_id": execution_id,
                "fence": fence,
                "seconds": lapses.lease,
                "agent_id": agent_id,
            },
        )
        row = await cursor.fetchone()
    return Renewed(*row) if row else None


async def renew_all(pool: AsyncConnectionPool[Any], lapses: Lapses) -> None:
    """Give every lease and deadline a fresh period: the server was away, not the agents."""
    async with pool.connection() as connection:
        await connection.execute(
            sql.named("renew_leases"),
            {"seconds": lapses.lease, "grace": lapses.timeout_grace},
        )


async def database_now(pool: AsyncConnectionPool[Any]) -> datetime:
    """Return the clock in which leases are kept."""
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT clock_timestamp()")).fetchone()
    now: datetime = row[0]
    return now


async def overdue(
    pool: AsyncConnectionPool[Any], trusted_until: datetime, limit: int = 500
) -> list[Overdue]:
    """Mark leases that ran out as lost, drop what is done with, and return who is overdue.

    After `trusted_until` (the database's clock) nobody is: then it was the server that was away.
    """
    known = {"trusted_until": trusted_until, "limit": limit}
    async with pool.connection() as connection:
        await connection.execute(sql.named("mark_lost_leases").encode(), known)
        cursor = await connection.execute(sql.named("overdue").encode(), known)
        return [Overdue(*row) for row in await cursor.fetchall()]


async def not_started(pool: AsyncConnectionPool[Any], limit: int = 500) -> list[UUID]:
    """Return pending executions that no agent took before their start deadline.

    The deadline is the asker's, not the agents': time in which the server was away counts.
    """
    async with pool.connection() as connection:
        cursor = await connection.execute(sql.named("not_started").encode(), {"limit": limit})
        return [execution_id for (execution_id,) in await cursor.fetchall()]


async def forget(pool: AsyncConnectionPool[Any]) -> None:
    """Drop operational rows that nobody can need again."""
    async with pool.connection() as connection:
        await connection.execute(
            "DELETE FROM store.leases WHERE lost_at < now() - make_interval(days => %s)",
            [LATE_OUTCOME_DAYS],
        )
        await connection.execute(
            "DELETE FROM store.idempotency WHERE recorded_at < now() - make_interval(hours => %s)",
            [IDEMPOTENCY_HOURS],
        )
