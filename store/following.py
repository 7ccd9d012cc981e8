"""Followers of the log: each reads every event once, in order, and notes what is to be done.

A follower's position moves in the transaction of what it has noted, and one server at a time holds
it. So nothing is lost or noted twice, whichever server dies when.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool

BATCH: Final = 500

_TAKE: Final = "SELECT position FROM store.followers WHERE name = %s FOR UPDATE SKIP LOCKED"
_NEWS: Final = (
    "SELECT position, stream_id, type, recorded_at FROM ledger.events"
    " WHERE position > %s ORDER BY position LIMIT %s"
)
_MOVE: Final = "UPDATE store.followers SET position = %s WHERE name = %s"


class News(Struct, frozen=True):
    """An event, as far as everyone may want to know it."""

    position: int
    stream_id: UUID
    type: str
    recorded_at: datetime


Connection: TypeAlias = AsyncConnection[Any]
Note: TypeAlias = Callable[[Connection, list[News]], Awaitable[None]]


class Follower:
    """One reader of the log. `note` writes what is to be done, over the connection it is given."""

    def __init__(self, pool: AsyncConnectionPool[Any], name: str, note: Note) -> None:
        self._pool = pool
        self._name = name
        self._note = note

    async def follow(self) -> None:
        """Go on to the end of the log, unless another server is at it."""
        while await self._step() == BATCH:
            pass

    async def _step(self) -> int:
        async with self._pool.connection() as connection, connection.transaction():
            found = await (await connection.execute(_TAKE, [self._name])).fetchone()
            if found is None:
                return 0
            async with connection.cursor(row_factory=args_row(News)) as cursor:
                await cursor.execute(_NEWS, [found[0], BATCH])
                news = await cursor.fetchall()
            if news:
                await self._note(connection, news)
                await connection.execute(_MOVE, [news[-1].position, self._name])
        return len(news)
