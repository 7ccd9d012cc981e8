"""What a server does beside answering: sweep, listen, keep house. Each loop survives its errors."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

import msgspec
import psycopg
from psycopg_pool import PoolTimeout

from api import wire
from api.ledger import Ledger
from api.problems import Problem
from domain import commands
from domain.commands import Command
from domain.errors import Refusal, UnreadableStream
from domain.events import Ending, FailureReason
from store import agents, changes, leases, output, sessions, tokens, witness
from store.appender import Unavailable
from store.leases import Overdue
from store.roundtrip import RoundTrips
from store.work import Notice, Work

_log = logging.getLogger(__name__)

ACTOR: Final = "server:sweep"
CHANNEL: Final = "cronledger"
_LISTENING: Final = {
    b"listen": f"LISTEN {CHANNEL}",
    b"listen to tokens": f"LISTEN {tokens.CHANNEL}",
    b"ask": "SELECT 1",
}
# A connection that does not say that it is gone is found out by asking.
_ASK_SECONDS: Final = 5.0
_PASSING: Final = (psycopg.Error, PoolTimeout, Unavailable, changes.OutOfStep, OSError)
_AWAY_SECONDS: Final = 5.0
_ENDINGS_AT_ONCE: Final = 4
_REST: Final = 99
_REST_SECONDS_MAX: Final = 1.0
_GIVE_UP: Final[dict[str, tuple[Callable[..., Command], FailureReason | None]]] = {
    "lost": (commands.Lose, "agent_lost"),
    "timeout": (commands.TimeOut, None),
    "cancel": (commands.ConfirmCancel, None),
}


class Sweeper:
    """Ends what no agent will end: expired leases, timeouts and cancels that nobody confirmed.

    And what no agent will begin: pending executions past their start deadline.

    Time in which the server (or its database, or the whole machine) was away does not count: when
    the sweep finds that it did not run for a while, everyone first gets a fresh period.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._last_monotonic = 0.0
        self._last_database: datetime | None = None
        self._failing: set[UUID] = set()
        self.swept = 0

    async def sweep(self) -> None:
        """Look once."""
        ledger = self._ledger
        now = await leases.database_now(ledger.pool)
        if self._last_database is None or self._was_away(self._last_database, now):
            await leases.renew_all(ledger.pool, ledger.settings.lapses)
        else:
            # Whatever stands still from here on, nobody is given up on after that moment.
            trusted_until = self._last_database + self._away
            await self._give_up(await leases.overdue(ledger.pool, trusted_until))
        await self._expire(await leases.not_started(ledger.pool))
        self._last_database = await leases.database_now(ledger.pool)
        self._last_monotonic = time.monotonic()

    @property
    def _away(self) -> timedelta:
        """The gap between two sweeps from which on the server was away: a part of a lease."""
        settings = self._ledger.settings
        part = min(_AWAY_SECONDS, settings.lease_seconds / 6)
        return timedelta(seconds=max(part, 2 * settings.sweep_seconds))

    def _was_away(self, last: datetime, now: datetime) -> bool:
        by_our_clock = timedelta(seconds=time.monotonic() - self._last_monotonic)
        return max(now - last, by_our_clock) > self._away

    async def _give_up(self, cases: list[Overdue]) -> None:
        """End all of them in one batch; what is wrong with one is that one's alone."""
        # A few at a time: each may read megabytes of output.
        limit = asyncio.Semaphore(_ENDINGS_AT_ONCE)
        made = await asyncio.gather(*(self._work(c, limit) for c in cases), return_exceptions=True)
        ready = [
            (case, work)
            for case, work in zip(cases, made, strict=True)
            if isinstance(work, Work) or self._excuse(case.execution_id, work)
        ]
        await self._submit([(case.execution_id, work) for case, work in ready])

    async def _expire(self, overdue: list[UUID]) -> None:
        await self._submit([(one, Work(self._command(commands.Expire, one))) for one in overdue])

    async def _submit(self, ready: list[tuple[UUID, Work]]) -> None:
        submits = (self._ledger.appender.submit(work) for _, work in ready)
        verdicts = await asyncio.gather(*submits, return_exceptions=True)
        for (execution_id, _), verdict in zip(ready, verdicts, strict=True):
            if isinstance(verdict, BaseException):
                self._excuse(execution_id, verdict)
            else:
                self.swept += 1

    def _excuse(self, execution_id: UUID, error: BaseException) -> Literal[False]:
        """Say what is wrong with one case; raise what is wrong with all of them."""
        if isinstance(error, _PASSING) or not isinstance(error, Exception):
            raise error
        if execution_id in self._failing:
            return False
        if isinstance(error, UnreadableStream):
            self._failing.add(execution_id)
            _log.error("cannot give up %s: %s", execution_id, error)
        # Any other refusal means that it began or ended meanwhile by itself, which is better.
        elif not isinstance(error, Refusal | Problem):
            self._failing.add(execution_id)
            _log.error("cannot give up %s; trying again", execution_id, exc_info=error)
        return False

    async def _work(self, case: Overdue, limit: asyncio.Semaphore) -> Work:
        make, reason = _GIVE_UP[case.kind]
        async with limit:
            standing = await self._ledger.standing(case.execution_id)
            elapsed_ms = max(0, round((case.now - case.started_at).total_seconds() * 1000))
            ending = await self._ledger.ending(standing, _nothing(elapsed_ms, reason))
        return Work(self._command(make, case.execution_id, ending=ending))

    def _command(
        self, make: Callable[..., Command], execution_id: UUID, **facts: Ending
    ) -> Command:
        return make(
            at=wire.now(),
            by=ACTOR,
            command_id=self._ledger.new_id(),
            execution_id=execution_id,
            **facts,
        )


def _nothing(elapsed_ms: int, reason: FailureReason | None) -> Ending:
    return Ending(elapsed_ms, output.NOTHING, output.NOTHING, failure_reason=reason)


class Listener:
    """Hears what other servers commit, and when tokens change."""

    def __init__(self, ledger: Ledger, conninfo: str, sender: str) -> None:
        self._ledger = ledger
        self._conninfo = conninfo
        # So begins what this server says itself, and hears in every batch.
        self._own = b'{"sender":%s,' % msgspec.json.encode(sender)

    async def listen(self) -> None:
        """Listen until the connection breaks, then return; the caller begins again."""
        trips = await RoundTrips.connect(self._conninfo, _LISTENING, hear=self._hear)
        try:
            for name in _LISTENING:
                trips.send(name)
            await trips.answers()
            self._ledger.authenticator.trust_cache(listening=True)
            self._ledger.configurations.trust_cache(listening=True)
            # What was said before is not heard again: everyone looks once more.
            self._ledger.waiting.wake_everyone()
            while not await trips.ended(_ASK_SECONDS):
                async with asyncio.timeout(_ASK_SECONDS):
                    trips.send(b"ask")
                    await trips.answers()
        finally:
            self._ledger.authenticator.trust_cache(listening=False)
            self._ledger.configurations.trust_cache(listening=False)
            with contextlib.suppress(psycopg.Error, OSError):
                await trips.close()

    def _hear(self, channel: bytes, payload: bytes) -> None:
        if channel == tokens.CHANNEL.encode():
            self._ledger.authenticator.forget()
            return
        if payload.startswith(self._own):
            return
        with contextlib.suppress(msgspec.MsgspecError):
            notice = msgspec.json.decode(payload, type=Notice)
            self._ledger.configurations.forget(None if notice.overflow else notice.erased)
            self._ledger.waiting.hear(notice)


class Housekeeper:
    """Remembers the head outside the database, notes who came, forgets what is old."""

    def __init__(self, ledger: Ledger, witness_path: Path) -> None:
        self._ledger = ledger
        self._path = witness_path
        self._seen = -1
        self._round = 0

    async def keep(self) -> None:
        """Do what is due in this round; a round a second."""
        await self.remember_head()
        if used := self._ledger.authenticator.take_used():
            async with self._ledger.pool.connection() as connection:
                await tokens.used(connection, used)
        if seen := self._ledger.presence.take_due():
            try:
                await agents.note(self._ledger.pool, seen)
            except BaseException:
                self._ledger.presence.put_back(seen)
                raise
        if self._round % 60 == 0:
            await leases.forget(self._ledger.pool)
            await agents.forget(self._ledger.pool)
            async with self._ledger.pool.connection() as connection:
                await sessions.forget(connection)
        self._round += 1
        await self._look_at_read_models()

    async def _look_at_read_models(self) -> None:
        """Let the writer look if they are not where the log is, or if it has stopped.

        An older server beside us does not write our versions; and what stopped it may be mended.
        """
        appender = self._ledger.appender
        try:
            are_behind = await changes.are_behind(self._ledger.pool, appender.projections)
        except changes.OutOfStep:
            if not appender.stopped:
                appender.catch_up()  # it stops, and says why
            raise
        if are_behind or appender.stopped:
            appender.catch_up()

    async def remember_head(self) -> None:
        """Write the head to the home folder if it moved."""
        head = self._ledger.appender.head
        if head is not None and head.position > self._seen:
            await asyncio.to_thread(witness.remember, self._path, self._ledger.ledger_id, head)
            self._seen = head.position


@contextlib.asynccontextmanager
async def sparing() -> AsyncIterator[None]:
    """Rest after what is done within, 99 times as long, a second at most.

    What may come a moment later leaves the event loop, and the database, to requests: the busier
    the server, the longer it takes and the more it gathers for the next time.
    """
    started = time.monotonic()
    yield
    await asyncio.sleep(min(_REST * (time.monotonic() - started), _REST_SECONDS_MAX))


async def repeat(name: str, action: Callable[[], Awaitable[object]], seconds: float) -> None:
    """Do `action` again and again, `seconds` apart, until cancelled. Errors are said once."""
    failing = False
    while True:
        try:
            await action()
            failing = False
        except _PASSING as error:
            if not failing:
                _log.warning("%s: %s; trying again", name, str(error).strip() or error.__doc__)
            failing = True
        except Exception:  # noqa: BLE001 - a bug in one round must not end the loop
            _log.exception("%s failed; trying again", name)
        await asyncio.sleep(seconds)
