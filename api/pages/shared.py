"""What many open pages ask for at the same time, and is read once for all of them."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from msgspec import Struct

from api.ledger import Ledger
from projections import runs
from projections.queries import View

_T = TypeVar("_T")
_KEPT_MAX: Final = 200
_CHANGES_MAX: Final = 1000
# However many pages are open, changes are looked for no oftener than this.
_LOOK_SECONDS: Final = 1.0


class Shared:
    """Answers that are made once and given to all who ask within some seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[Hashable, tuple[float, asyncio.Future[Any]]] = OrderedDict()

    async def get(self, key: Hashable, seconds: float, make: Callable[[], Awaitable[_T]]) -> _T:
        """Return what `make` returned at most so many seconds ago, making it if need be."""
        until, making = self._kept.get(key, (0.0, None))
        if making is None or until < self._clock():
            making = asyncio.ensure_future(make())
            self._kept[key] = (self._clock() + seconds, making)
            self._kept.move_to_end(key)
            making.add_done_callback(lambda done: self._drop_failed(key, done))
            while len(self._kept) > _KEPT_MAX:
                self._kept.popitem(last=False)
        # Shielded: one who goes away must not take the answer from others who wait for it.
        return cast("_T", await asyncio.shield(making))

    def forget(self) -> None:
        """Make everything anew: who asks has just changed something, and wants to see it."""
        self._kept.clear()

    def _drop_failed(self, key: Hashable, done: "asyncio.Future[Any]") -> None:
        failed = done.cancelled() or done.exception() is not None
        if failed and self._kept.get(key, (0.0, None))[1] is done:
            del self._kept[key]


class Changed(Struct, frozen=True):
    """An execution that changed lately, as it is now."""

    position: int
    view: View


class Changes:
    """The executions that changed last, read from the log once a second for all open pages."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = asyncio.Lock()
        self._looked = 0.0
        # What changed after this position is kept, up to the other.
        self._floor = 0
        self._position: int | None = None
        self._kept: OrderedDict[UUID, Changed] = OrderedDict()

    async def mark(self) -> int:
        """Return a position up to which a page that is read from now on is not older."""
        if self._position is None:
            await self._look()
        return self._position or 0

    async def since(self, after: int) -> tuple[list[Changed], int] | None:
        """Return what changed after a position, and the position now; None if it is too long ago.

        A page that is told None reads itself anew.
        """
        await self._look()
        if after < self._floor:
            return None
        return [one for one in self._kept.values() if one.position > after], self._position or 0

    async def _look(self) -> None:
        async with self._lock:
            if time.monotonic() - self._looked < _LOOK_SECONDS and self._position is not None:
                return
            ledger = self._ledger
            if self._position is None:
                self._floor = self._position = await runs.head(ledger.pool)
            else:
                found, missed = await runs.changed(ledger.pool, self._position, _CHANGES_MAX)
                await self._take(found, missed)
            self._looked = time.monotonic()

    async def _take(self, found: dict[UUID, int], missed: int) -> None:
        if not found:
            return
        views = await asyncio.gather(*(self._ledger.views.one(one) for one in found))
        for view, (execution_id, position) in zip(views, found.items(), strict=True):
            if view is not None:
                self._kept[execution_id] = Changed(max(position, view.row.position), view)
                self._kept.move_to_end(execution_id)
        head = max(found.values())
        if missed:
            self._floor = head
        self._position = head
        while len(self._kept) > _CHANGES_MAX:
            self._floor = max(self._floor, self._kept.popitem(last=False)[1].position)
