"""Followers of the log: each goes over every event once, in order, and notes what is to be done.

A follower's position moves in the transaction of what it has noted, and one server at a time holds
it. So nothing is lost or noted twice, whichever server dies when.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool

# Each piece costs both sides some ten statements, however little of it anybody wants to know; and
# each event that somebody wants to know some more, in one transaction: of these not as many.
BATCH: Final = 5000
NOTED_MAX: Final = 500

# Nobody waits for that transaction to be durable. If a crash takes it away, position and notes go
# together, and the log is read again: followers look once a second, whether there is news or not
# (api/waiting.py, `heard`). Who acts on a note commits after it, so that it stays.
_TAKE: Final = (
    "SELECT position, coalesce((SELECT max(position) FROM ledger.events), 0),"
    " set_config('synchronous_commit', 'off', true)"
    " FROM store.followers WHERE name = %s FOR UPDATE SKIP LOCKED"
)
_NEWS: Final = (
    "SELECT position, stream_id, type, recorded_at FROM ledger.events"
    " WHERE position > %s AND position <= %s AND type = ANY(%s::text[]) ORDER BY position"
    " LIMIT %s"
)
_MOVE: Final = "UPDATE store.followers SET position = %s WHERE name = %s"


class Span(Struct, frozen=True):
    """A piece of the log: what stands after one position, up to another."""

    after: int
    until: int


class News(Struct, frozen=True):
    """An event, as far as everyone may want to know it."""

    position: int
    stream_id: UUID
    type: str
    recorded_at: datetime


Connection: TypeAlias = AsyncConnection[Any]
Note: TypeAlias = Callable[[Connection, Span], Awaitable[int]]


class Follower:
    """One reader of the log, piece by piece.

    `note` reads what it wants to know of a piece and writes what is to be done, over the
    connection it is given; it returns up to which position it has done so.
    """

    def __init__(self, pool: AsyncConnectionPool[Any], name: str, note: Note) -> None:
        self._pool = pool
        self._name = name
        self._note = note

    async def follow(self) -> None:
        """Go on to the end of the log, unless another server is at it."""
        while await self._step():
            pass

    async def _step(self) -> bool:
        """Go on by one piece; tell whether there is more."""
        async with self._pool.connection() as connection, connection.transaction():
            found = await (await connection.execute(_TAKE, [self._name])).fetchone()
            if found is None:
                return False
            position, head, _ = found
            span = Span(after=position, until=min(head, position + BATCH))
            # Another server may have gone on since the head was read, and further than that.
            if span.until <= span.after:
                return False
            noted_until = await self._note(connection, span)
            await connection.execute(_MOVE, [noted_until, self._name])
            return bool(noted_until < head)


async def news(connection: Connection, span: Span, types: Iterable[str]) -> tuple[list[News], int]:
    """Return the events of these types in a piece of the log, in order, and up to which position.

    There are no more than are to be noted in one transaction.
    """
    async with connection.cursor(row_factory=args_row(News)) as cursor:
        await cursor.execute(_NEWS, [span.after, span.until, list(types), NOTED_MAX])
        found: list[News] = await cursor.fetchall()
    return found, found[-1].position if len(found) == NOTED_MAX else span.until
