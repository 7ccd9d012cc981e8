"""Single executions, read together: requests of the same moment share one statement."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg_pool import AsyncConnectionPool

from projections import queries
from projections.queries import View


class Views:
    """Reads executions one by one for those who ask, and in one statement from the database.

    The first request is read at once; those that come meanwhile are read together next. Each sees
    what was committed when it asked.
    """

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool
        self._waiting: dict[UUID, asyncio.Future[View | None]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def one(self, execution_id: UUID) -> View | None:
        """Return one execution, None if there is none."""
        waiting = self._waiting.get(execution_id)
        if waiting is None:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting[execution_id] = waiting
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        # Shielded: one who goes away must not take the answer from others who wait for it.
        return await asyncio.shield(waiting)

    async def _read(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting, {}
            try:
                found = await self._found(list(asked))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is theirs who asked
                _fail(list(asked.values()), error)
                continue
            for execution_id, waiting in asked.items():
                if not waiting.done():
                    waiting.set_result(found.get(execution_id))
        self._reader = None

    async def _found(self, asked: list[UUID]) -> dict[UUID, View]:
        found: dict[UUID, View] = {}
        for first in range(0, len(asked), queries.SEVERAL_MAX):
            some = asked[first : first + queries.SEVERAL_MAX]
            found |= await queries.several(self._pool, some)
        return found


def _fail(waiting: Sequence[asyncio.Future[View | None]], error: Exception) -> None:
    for future in waiting:
        if not future.done():
            future.set_exception(error)
            future.exception()  # who asked may be gone: then nobody needs to hear of it
