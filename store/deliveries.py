"""What is to be told to webhooks, and what came of it. Operational: kept for a while."""

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool

from store import sql
from store.keys import Keys

KEPT_DAYS: Final = 7
LISTED_MAX: Final = 100
_FIRST_WAIT: Final = 5.0
_WAIT_MAX: Final = 3600.0
# A target that fails is tried again sooner than any single message of its own.
_TARGET_WAIT_MAX: Final = 60.0
_GROWTH_MAX: Final = 20
_ATTEMPTS_KEPT: Final = 50

_TELL_MISSED: Final = (
    "INSERT INTO store.told_missed AS told (job_id, due_at)"
    " SELECT * FROM unnest(%s::text[], %s::timestamptz[]) ORDER BY 1"
    " ON CONFLICT (job_id) DO UPDATE SET due_at = excluded.due_at"
    " WHERE told.due_at < excluded.due_at RETURNING job_id"
)
# In the order of their index, so that it is found there whatever the statistics say.
_ANY_PENDING: Final = (
    "SELECT 1 FROM store.deliveries WHERE state = 'pending' ORDER BY webhook_id, due_at LIMIT 1"
)


class Sending(Struct, frozen=True):
    """A message that this server is to send now; `attempt` is 1 for the first time."""

    id: UUID
    webhook_id: UUID
    event_id: UUID
    event: str
    subject: str
    attempt: int
    created_at: datetime
    url: str
    secret: str
    failures: int


class Delivery(Struct, frozen=True):
    """A message and its attempts (number, at, duration_ms, status_code, error, answer)."""

    id: UUID
    event_id: UUID
    event: str
    state: str
    created_at: datetime
    due_at: datetime
    attempts: list[Any]


def wait_seconds(attempt: int, chance: float) -> float:
    """Return how long after its `attempt`-th failure a message is tried again: doubling, capped.

    `chance` from 0 to 1 takes up to a quarter off, so that many do not come at once.
    """
    longest = min(_WAIT_MAX, _FIRST_WAIT * 2.0 ** min(attempt - 1, _GROWTH_MAX))
    return longest * (1 - chance / 4)


async def note(
    connection: AsyncConnection[Any], webhook_id: UUID, event_id: UUID, event: str, subject: str
) -> UUID:
    """Note that this is to be told; once, however often it is noted."""
    delivery_id = uuid5(webhook_id, event_id.hex)
    await connection.execute(
        "INSERT INTO store.deliveries (id, webhook_id, event_id, event, subject)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [delivery_id, webhook_id, event_id, event, subject],
    )
    return delivery_id


async def not_told(
    connection: AsyncConnection[Any], missed: Sequence[tuple[str, datetime]]
) -> set[str]:
    """Return of which jobs this due time, or a later one, was not told before; now it is."""
    jobs, times = [job_id for job_id, _ in missed], [due_at for _, due_at in missed]
    found = await connection.execute(_TELL_MISSED, [jobs, times])
    return {job_id for (job_id,) in await found.fetchall()}


async def any_pending(pool: AsyncConnectionPool[Any]) -> bool:
    """Tell whether there is anything to send, now or later: mostly there is nothing."""
    async with pool.connection() as connection:
        return await (await connection.execute(_ANY_PENDING)).fetchone() is not None


async def take(
    pool: AsyncConnectionPool[Any], keys: Keys, busy: list[UUID], limit: int, *, failing: bool
) -> list[Sending]:
    """Return messages to send now; nobody else gets them for a minute. Raises `WrongKey`.

    They are for webhooks that are not `busy`, and that failed last or did not.
    """
    async with (
        pool.connection() as connection,
        connection.cursor(row_factory=args_row(Sending)) as cursor,
    ):
        statement = sql.named("take_deliveries").encode()
        await cursor.execute(statement, {"busy": busy, "limit": limit, "failing": failing})
        rows = await cursor.fetchall()
    return [_opened(row, keys) for row in rows]


def _opened(row: Sending, keys: Keys) -> Sending:
    fields = {name: getattr(row, name) for name in row.__struct_fields__}
    return Sending(**fields | {"url": keys.decrypt(row.url), "secret": keys.decrypt(row.secret)})


async def report(
    pool: AsyncConnectionPool[Any],
    sent: Sending,
    *,
    at: datetime,
    duration_ms: int,
    status_code: int | None,
    error: str | None,
    answer: str | None,
    is_delivered: bool,
) -> None:
    """Note what came of an attempt."""
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO store.delivery_attempts"
            " SELECT id, %s, %s, %s, %s, %s, %s FROM store.deliveries WHERE id = %s"
            " ON CONFLICT DO NOTHING",
            [sent.attempt, at, duration_ms, status_code, error, answer, sent.id],
        )
        await connection.execute(
            "DELETE FROM store.delivery_attempts WHERE delivery_id = %s AND number <= %s",
            [sent.id, sent.attempt - _ATTEMPTS_KEPT],
        )
        name = "note_delivered" if is_delivered else "note_failed"
        chance = random.random()  # noqa: S311 - to spread them, no secret
        waits = {
            "wait": wait_seconds(sent.attempt, chance),
            "target_wait": min(_TARGET_WAIT_MAX, wait_seconds(sent.failures + 1, chance)),
        }
        about = {"id": sent.id, "webhook": sent.webhook_id}
        await connection.execute(sql.named(name).encode(), about | waits)


async def of_webhook(connection: AsyncConnection[Any], webhook_id: UUID) -> list[Delivery]:
    """Return the newest messages to a webhook, newest first."""
    async with connection.cursor(row_factory=args_row(Delivery)) as cursor:
        await cursor.execute(
            sql.named("list_deliveries").encode(), {"webhook": webhook_id, "limit": LISTED_MAX}
        )
        return await cursor.fetchall()


async def redeliver(connection: AsyncConnection[Any], webhook_id: UUID, delivery_id: UUID) -> bool:
    """Let a message be sent again, at once, for another day; False if there is none such."""
    done = await connection.execute(
        "UPDATE store.deliveries SET state = 'pending', due_at = clock_timestamp(),"
        " expires_at = clock_timestamp() + interval '1 day' WHERE id = %s AND webhook_id = %s",
        [delivery_id, webhook_id],
    )
    if done.rowcount:
        await connection.execute(
            "UPDATE store.webhooks SET resume_at = NULL WHERE id = %s", [webhook_id]
        )
    return done.rowcount == 1


async def forget(pool: AsyncConnectionPool[Any]) -> None:
    """Drop what is older than a week."""
    async with pool.connection() as connection:
        await connection.execute(
            "DELETE FROM store.deliveries WHERE created_at"
            " < clock_timestamp() - make_interval(days => %s)",
            [KEPT_DAYS],
        )
