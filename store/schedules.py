"""Schedules: how far the times of each job are settled, and which executions are held.

Operational state, not history; the facts themselves are events. All times are the database's clock.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import args_row

from domain.events import Happened
from store import mapper, sql
from store.states import KnownEvent

_SCHEDULE_LOCK: Final = 0x64756521  # "due!": who holds it computes what is due

Histories: TypeAlias = Mapping[UUID, Sequence[KnownEvent]]


class DueJob(Struct, frozen=True):
    """A job to look at; each of its due times up to `settled_until` has its fact."""

    id: UUID
    settled_until: datetime


class Held(Struct, frozen=True):
    """An execution of a job that waits for others to end."""

    job: UUID
    execution_id: UUID


async def database_now(connection: AsyncConnection[Any]) -> datetime:
    """Return the clock that all servers share."""
    row = await (await connection.execute("SELECT clock_timestamp()")).fetchone()
    now: datetime = row[0]  # type: ignore[index]  # there is a row
    return now


async def lock(connection: AsyncConnection[Any]) -> bool:
    """Try to be the one who computes what is due; never waits."""
    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", [_SCHEDULE_LOCK])
    row = await cursor.fetchone()
    return bool(row and row[0])


async def unlock(connection: AsyncConnection[Any]) -> None:
    """Let another be it."""
    await connection.execute("SELECT pg_advisory_unlock(%s)", [_SCHEDULE_LOCK])


async def adopt(connection: AsyncConnection[Any]) -> None:
    """Note how far the times of jobs are settled of which nobody has noted it."""
    await connection.execute(sql.named("adopt_jobs").encode())


async def due(connection: AsyncConnection[Any], now: datetime, limit: int) -> list[DueJob]:
    """Return the jobs to look at by `now`, the longest due first."""
    async with connection.cursor(row_factory=args_row(DueJob)) as cursor:
        await cursor.execute(sql.named("due_jobs").encode(), {"now": now, "limit": limit})
        return await cursor.fetchall()


async def next_look(connection: AsyncConnection[Any], after: datetime) -> datetime | None:
    """Return when the next job after `after` is to be looked at, None if none is."""
    cursor = await connection.execute(
        "SELECT look_at FROM store.schedules WHERE look_at > %s ORDER BY look_at LIMIT 1", [after]
    )
    row = await cursor.fetchone()
    return row[0] if row else None


async def histories(connection: AsyncConnection[Any], jobs: Iterable[UUID]) -> Histories:
    """Return the events of some jobs, each job's in order."""
    found: defaultdict[UUID, list[KnownEvent]] = defaultdict(list)
    statement = sql.named("read_streams").replace("$1", "%(streams)s")
    async with connection.cursor(binary=True, row_factory=args_row(KnownEvent)) as cursor:
        await cursor.execute(statement.encode(), {"streams": list(jobs)})
        async for event in cursor:
            found[event.stream_id].append(event)
    return found


def decoded(history: Iterable[KnownEvent]) -> list[Happened]:
    """Return what happened, in order. Raises `UnreadableEvent`."""
    return [
        Happened(
            one.stream_id,
            one.version,
            one.occurred_at,
            one.command_id,
            mapper.decode(one.type, one.schema_version, one.payload, stream_id=one.stream_id),
        )
        for one in history
    ]


async def held_first(connection: AsyncConnection[Any]) -> list[Held]:
    """Return of each job the execution that has been held longest."""
    async with connection.cursor(row_factory=args_row(Held)) as cursor:
        await cursor.execute(sql.named("held_first").encode())
        return await cursor.fetchall()
