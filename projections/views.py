"""Single executions, read together: requests of the same moment share one statement."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import psycopg
from psycopg import pq

from projections import queries, sql
from projections.queries import View
from store.roundtrip import RoundTrips, array

SEVERAL: Final = queries.listing(sql.named("choose_several"))


class Views:
    """Reads executions one by one for those who ask, and in one statement from the database.

    The first request is read at once; those that come meanwhile are read together next. Each sees
    what was committed when it asked.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._trips: RoundTrips | None = None
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

    async def close(self) -> None:
        """Disconnect; the next request connects again."""
        trips, self._trips = self._trips, None
        if trips is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await trips.close()

    async def _found(self, asked: list[UUID]) -> dict[UUID, View]:
        kept = self._trips is not None and not self._trips.closed
        try:
            return await self._asked(asked)
        except psycopg.OperationalError:
            await self.close()
            if not kept:
                raise
            # The database may have closed a kept connection long ago: once more on a new one.
            return await self._asked(asked)

    async def _asked(self, asked: list[UUID]) -> dict[UUID, View]:
        try:
            if self._trips is None or self._trips.closed:
                await self.close()
                self._trips = await RoundTrips.connect(self._conninfo, {b"several": SEVERAL})
            for first in range(0, len(asked), queries.SEVERAL_MAX):
                some = asked[first : first + queries.SEVERAL_MAX]
                self._trips.send(b"several", (array(some),), result_format=pq.Format.BINARY)
            answers = await self._trips.answers()
        except (OSError, TimeoutError) as error:
            await self.close()
            raise psycopg.OperationalError(str(error)) from error
        rows = (self._trips.rows(answer, queries.view) for answer in answers)
        return {view.row.id: view for some in rows for view in some}


def _fail(waiting: Sequence[asyncio.Future[View | None]], error: Exception) -> None:
    for future in waiting:
        if not future.done():
            future.set_exception(error)
            future.exception()  # who asked may be gone: then nobody needs to hear of it
