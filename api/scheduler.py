"""The scheduler: makes the executions that are due, once each, and says what became of the others.

Any number of servers may run one. What is due is judged under the append lock, against how far the
job's times are settled by then, and each due time has a stream of its own in the ledger; so a
second server is told that it has happened. That one of them holds a lock while it computes merely
saves the others the work, and they go ahead if it stands still. See docs/decisions/0015.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection

from api.ledger import Ledger
from domain import ids
from domain.due import GRACE
from domain.due_commands import Due, Missed, Release, Settle
from domain.errors import Refusal
from domain.events import Happened
from projections import due_times
from store import schedules
from store.mapper import UnreadableEvent
from store.schedules import DueJob
from store.work import Done, Work

Clock: TypeAlias = Callable[[AsyncConnection[Any]], Awaitable[datetime]]

ACTOR: Final = "server:schedule"
# How long a server sleeps at most: for changes it is woken, this is for what nobody tells it.
_PAUSE_SECONDS: Final = 1.0
# Those who do not hold the lock leave a due job to the one who does for so long.
_PATIENCE: Final = timedelta(seconds=2)
# How often it is looked for jobs that came to be without a server, as by an import.
_ADOPT_SECONDS: Final = 60.0
_JOBS_AT_ONCE: Final = 10_000
_CHUNK: Final = 500

_log = logging.getLogger(__name__)


class ScheduleCounters(Struct):
    """What the scheduler has done, for the metrics. Lateness is that of times that ran on time."""

    due: int = 0
    missed: int = 0
    released: int = 0
    lateness_seconds: float = 0.0
    lateness_seconds_max: float = 0.0


class Scheduler:
    """Looks when the next job is due, sleeps until then, and settles what has come.

    All times are the database's clock, which all servers share; `clock` replaces it in tests.
    """

    def __init__(self, ledger: Ledger, clock: Clock = schedules.database_now) -> None:
        self._ledger = ledger
        self._clock = clock
        self._pause = 0.0
        self._failing: set[UUID] = set()
        self._adopted_at = float("-inf")
        self.counters = ScheduleCounters()

    async def round(self) -> None:
        """Sleep until the next time (or until woken), then settle what has come."""
        woken = self._ledger.waiting.schedule
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await woken.wait()
        woken.clear()
        self._pause = _PAUSE_SECONDS
        self._pause = await self.tick()

    async def tick(self) -> float:
        """Settle what has come by now; return for how many seconds nothing more comes."""
        async with self._ledger.pool.connection() as connection:
            try:
                is_first = await schedules.lock(connection)
                if is_first:
                    await self._adopt(connection)
                began = await self._clock(connection)
                patience = timedelta() if is_first else _PATIENCE
                is_more = await self._settle_due(connection, began, patience)
                await self._release(connection)
                upcoming = await schedules.next_look(connection, began)
                now = await self._clock(connection)
                if is_first:
                    await schedules.unlock(connection)
            except BaseException:
                # The lock belongs to the connection: it must not go back to the pool with it.
                await connection.close()
                raise
        if is_more:
            return 0.0
        if upcoming is None:
            return _PAUSE_SECONDS
        return min(_PAUSE_SECONDS, max(0.0, (upcoming - now).total_seconds()))

    async def _adopt(self, connection: AsyncConnection[Any]) -> None:
        if time.monotonic() - self._adopted_at >= _ADOPT_SECONDS:
            await schedules.adopt(connection)
            self._adopted_at = time.monotonic()

    async def _settle_due(
        self, connection: AsyncConnection[Any], now: datetime, patience: timedelta
    ) -> bool:
        """Settle what has come; tell whether there was more than is looked at in one go."""
        began = time.monotonic()
        jobs = await schedules.due(connection, now - patience, _JOBS_AT_ONCE)
        before: asyncio.Future[Any] | None = None
        for first in range(0, len(jobs), _CHUNK):
            chunk = jobs[first : first + _CHUNK]
            histories = await schedules.histories(connection, [one.id for one in chunk])
            # Computed in a thread, while the database writes what came before.
            commands = await asyncio.to_thread(self._commands, chunk, histories, now)
            if before is not None:
                await before
            before = asyncio.ensure_future(self._submit(commands, now, began))
        if before is not None:
            await before
        return len(jobs) == _JOBS_AT_ONCE

    def _commands(
        self, jobs: Sequence[DueJob], histories: schedules.Histories, now: datetime
    ) -> list[Settle]:
        found = []
        for one in jobs:
            try:
                history: list[Happened] = schedules.decoded(histories.get(one.id, ()))
                command = due_times.settlement(
                    history, one.settled_until, now, by=ACTOR, command_id=self._ledger.new_id()
                )
            except (UnreadableEvent, ArithmeticError, ValueError) as error:
                self._excuse(one.id, error)
                continue
            if command is not None:
                found.append(command)
        return found

    async def _submit(self, commands: Iterable[Settle], now: datetime, began: float) -> None:
        commands = list(commands)
        works = (self._ledger.appender.submit(Work(command)) for command in commands)
        answers = await asyncio.gather(*works, return_exceptions=True)
        late = timedelta(seconds=time.monotonic() - began)
        for command, answer in zip(commands, answers, strict=True):
            if isinstance(answer, Done) and answer.changed:
                self._count(command, now, late)
            elif isinstance(answer, BaseException):
                self._excuse(command.stream_id, answer)

    def _count(self, command: Settle, now: datetime, took: timedelta) -> None:
        counters = self.counters
        for verdict in command.verdicts:
            if isinstance(verdict, Missed):
                counters.missed += verdict.count or 1
                continue
            counters.due += 1
            late = now - _fires_at(verdict)
            if late <= GRACE:
                seconds = (late + took).total_seconds()
                counters.lateness_seconds += seconds
                counters.lateness_seconds_max = max(counters.lateness_seconds_max, seconds)

    async def _release(self, connection: AsyncConnection[Any]) -> None:
        """Let what is held go as far as there is room, the longest held of each job first."""
        while True:
            waiting = await schedules.held_first(connection)
            self._ledger.waiting.is_holding = bool(waiting)
            if not waiting:
                return
            now = await self._clock(connection)
            answers = await asyncio.gather(
                *(
                    self._ledger.appender.submit(
                        Work(Release(now, ACTOR, self._ledger.new_id(), one.job, one.execution_id))
                    )
                    for one in waiting
                ),
                return_exceptions=True,
            )
            for one, answer in zip(waiting, answers, strict=True):
                if isinstance(answer, BaseException):
                    self._excuse(one.execution_id, answer)
            released = sum(isinstance(answer, Done) and answer.changed for answer in answers)
            self.counters.released += released
            if not released:
                return

    def _excuse(self, stream_id: UUID, error: BaseException) -> None:
        """Say what is wrong with one job; raise what is wrong with all of them."""
        if isinstance(error, Refusal):
            return  # it was changed meanwhile, and is looked at anew
        if not isinstance(error, (UnreadableEvent, ArithmeticError, ValueError)):
            raise error
        if stream_id not in self._failing:
            self._failing.add(stream_id)
            _log.error("the times of job %s cannot be settled", stream_id, exc_info=error)


def _fires_at(verdict: Due) -> datetime:
    return ids.created_at(verdict.execution_id)
