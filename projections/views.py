"""Single executions, read together: requests of the same moment share one statement."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

import psycopg
from psycopg import pq

from projections import queries, sql
from projections.queries import Standing, View
from store.roundtrip import RoundTrips, array

_STATEMENTS: Final = {
    b"views": queries.listing(sql.named("choose_several")),
    b"standings": sql.named("standings"),
}
_MADE_BY: Final[dict[bytes, Callable[..., tuple[UUID, Any]]]] = {
    b"views": lambda *columns: (columns[0], queries.view(*columns)),
    b"standings": lambda *columns: (columns[0], queries.standing(*columns)),
}
# What is asked for: by which statement, and of which execution.
_Asked: TypeAlias = tuple[bytes, UUID]


class Views:
    """Reads executions one by one for those who ask, and in one statement from the database.

    The first request is read at once; those that come meanwhile are read together next. Each sees
    what was committed when it asked.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._trips: RoundTrips | None = None
        self._waiting: dict[_Asked, asyncio.Future[Any]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def one(self, execution_id: UUID) -> View | None:
        """Return one execution, None if there is none."""
        view: View | None = await self._answer((b"views", execution_id))
        return view

    async def standing(self, execution_id: UUID) -> Standing | None:
        """Return how one execution stands, None if there is none: a third of what a view costs."""
        standing: Standing | None = await self._answer((b"standings", execution_id))
        return standing

    async def _answer(self, question: _Asked) -> Any:
        waiting = self._waiting.get(question)
        if waiting is None:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting[question] = waiting
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
            for question, waiting in asked.items():
                if not waiting.done():
                    waiting.set_result(found.get(question))
        self._reader = None

    async def close(self) -> None:
        """Disconnect; the next request connects again."""
        trips, self._trips = self._trips, None
        if trips is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await trips.close()

    async def _found(self, asked: list[_Asked]) -> dict[_Asked, Any]:
        kept = self._trips is not None and not self._trips.closed
        try:
            return await self._asked(asked)
        except psycopg.OperationalError:
            await self.close()
            if not kept:
                raise
            # The database may have closed a kept connection long ago: once more on a new one.
            return await self._asked(asked)

    async def _asked(self, asked: list[_Asked]) -> dict[_Asked, Any]:
        sent: list[bytes] = []
        try:
            if self._trips is None or self._trips.closed:
                await self.close()
                self._trips = await RoundTrips.connect(self._conninfo, _STATEMENTS)
            for name in _STATEMENTS:
                wanted = [execution_id for by, execution_id in asked if by == name]
                for first in range(0, len(wanted), queries.SEVERAL_MAX):
                    some = array(wanted[first : first + queries.SEVERAL_MAX])
                    self._trips.send(name, (some,), result_format=pq.Format.BINARY)
                    sent.append(name)
            answers = await self._trips.answers()
        except (OSError, TimeoutError) as error:
            await self.close()
            raise psycopg.OperationalError(str(error)) from error
        found: dict[_Asked, Any] = {}
        for name, answer in zip(sent, answers, strict=True):
            for execution_id, made in self._trips.rows(answer, _MADE_BY[name]):
                found[name, execution_id] = made
        return found


def _fail(waiting: Sequence[asyncio.Future[View | None]], error: Exception) -> None:
    for future in waiting:
        if not future.done():
            future.set_exception(error)
            future.exception()  # who asked may be gone: then nobody needs to hear of it
