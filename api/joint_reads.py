"""The same question asked by many at the same moment: one read answers all who wait for it."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_T = TypeVar("_T")


class JointReads(Generic[_K, _T]):
    """Answers questions, each with a read that begins after it was asked.

    The first who asks is answered by a read at once; those who ask the same meanwhile are answered
    together by the next. So everyone sees what was committed before they asked.
    """

    def __init__(self, read: Callable[[_K], Awaitable[_T]]) -> None:
        self._read = read
        self._waiting: dict[_K, asyncio.Future[_T]] = {}
        self._readers: dict[_K, asyncio.Task[None]] = {}

    async def answer(self, question: _K) -> _T:
        """Return what a read finds that has not begun yet."""
        waiting = self._waiting.get(question)
        if waiting is None:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting[question] = waiting
        if question not in self._readers:
            self._readers[question] = asyncio.create_task(self._answer(question))
        # Shielded: one who goes away must not take the answer from others who wait for it.
        return await asyncio.shield(waiting)

    async def _answer(self, question: _K) -> None:
        while (waiting := self._waiting.pop(question, None)) is not None:
            try:
                waiting.set_result(await self._read(question))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is theirs who asked
                waiting.set_exception(error)
                waiting.exception()  # who asked may be gone: then nobody needs to hear of it
        del self._readers[question]
