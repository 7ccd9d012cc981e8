"""Group commit: one writer a process, one transaction a batch.

Requests hand in works and wait; the writer takes whatever has gathered and makes one transaction
of it: the append lock, one read, the judgement (batch.py), one write, the inline projection,
commit. What gathers meanwhile is the next batch, with those who come back at once (gathering.py).
Positions are head + 1 … under the lock, which is only right in READ COMMITTED with the lock as a
statement of its own; both are pinned here.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias
from uuid import UUID

import msgspec
import psycopg
from msgspec import Struct
from msgspec.structs import replace

from store import changes, reading, sql, writing
from store.batch import Bench, Verdict
from store.chain import Head
from store.changes import Projection
from store.gathering import gather
from store.reading import BatchRead
from store.roundtrip import RoundTrips
from store.states import States
from store.work import Done, Lapses, Notice, Work

APPEND_LOCK: Final = 0x63726F6E  # "cron": the advisory lock that every writer of the log takes

_log = logging.getLogger(__name__)
_STATEMENTS: Final = {
    b"begin": "BEGIN ISOLATION LEVEL READ COMMITTED",
    b"lock": f"SELECT pg_advisory_xact_lock({APPEND_LOCK})",
    **reading.STATEMENTS,
    **writing.STATEMENTS,
    b"schedule": sql.named("write_schedules"),
    b"notify": "SELECT pg_notify('cronledger', $1)",
    b"commit": "COMMIT",
    b"rollback": "ROLLBACK",
    b"settle": sql.named("settle_commit"),
}
Queued: TypeAlias = tuple[Work, asyncio.Future[Done]]
_PART: Final = 32
_SETTLE_SECONDS: Final = 10.0


class Unavailable(Exception):
    """The ledger cannot take this now; nothing was recorded. Try again in a moment."""


class OutcomeUnknown(Unavailable):
    """The database was lost while committing; repeat the request with the same Idempotency-Key."""


class DiskFull(Unavailable):
    """The disk of the database is full, and nothing was recorded. Keep it and try again later."""


class Stopped(Unavailable):
    """Nothing can be recorded until somebody has looked: the server's log says what is wrong."""


class Counters(Struct):
    """What the appender has done, for the metrics."""

    batches: int = 0
    commands: int = 0
    events: int = 0
    refusals: int = 0
    failures: int = 0


class Appender:
    """Takes works, commits them in batches, and tells each what became of it."""

    def __init__(
        self,
        conninfo: str,
        ledger_id: UUID,
        projections: Sequence[Projection],
        *,
        sender: str,
        lapses: Lapses,
        on_commit: Callable[[Notice], None],
        joining: Callable[[Sequence[Work]], Sequence[Queued]] = lambda _works: (),
        queue_max: int = 10_000,
        batch_max: int = 500,
    ) -> None:
        self._conninfo = conninfo
        self._ledger_id = ledger_id
        self._projections = {b"project %d" % n: one for n, one in enumerate(projections)}
        self._named = changes.named(projections)
        self._sender = sender
        self._lapses = lapses
        self._on_commit = on_commit
        self._joining = joining
        self._queue_max = queue_max
        self._batch_max = batch_max
        self._queue: deque[Queued] = deque()
        self._filled = asyncio.Event()
        self._trips: RoundTrips | None = None
        self._writer: asyncio.Task[None] | None = None
        self._closing = False
        self._is_behind = False
        self._states = States()
        self.counters = Counters()
        self.head: Head | None = None
        self.stopped = False  # nothing can be recorded, and the log has said why

    @property
    def sender(self) -> str:
        """The name under which this server tells the others of its commits."""
        return self._sender

    @property
    def projections(self) -> list[Projection]:
        """The read models that are written with the events."""
        return list(self._projections.values())

    @property
    def queued(self) -> int:
        """How many works wait for the writer."""
        return len(self._queue)

    async def start(self) -> None:
        """Start the writer."""
        self._writer = asyncio.create_task(self._run(), name="appender")

    async def stop(self) -> None:
        """Commit what is queued, then stop."""
        self._closing = True
        self._filled.set()
        if self._writer is not None:
            await self._writer
        await self._disconnect()

    async def submit(self, work: Work) -> Done:
        """Commit `work`. When this returns, what it says is durable.

        Raises a `Refusal` of the rules, `Unavailable` if nothing was recorded, and
        `OutcomeUnknown` if that cannot be told.
        """
        if len(self._queue) >= self._queue_max or self._closing:
            raise Unavailable
        future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._queue.append((work, future))
        self._filled.set()
        return await future

    def catch_up(self) -> None:
        """Let the writer look at the log, and bring the read models up to it.

        For others have recorded without them, or it was `stopped` by what may be mended by now.
        """
        self._is_behind = True
        self._filled.set()

    async def _run(self) -> None:
        expected = 0
        while True:
            await gather(self._queue, expected)
            await self._filled.wait()
            if not self._queue and not self._is_behind:
                if self._closing:
                    return
                self._filled.clear()
                expected = 0
                continue
            self._is_behind = False
            taken = self._take()
            verdicts = await self._verdicts([work for work, _ in taken])
            expected = min(len(taken) + len(self._queue), self._batch_max)
            _tell(taken, verdicts)

    def _take(self) -> list[Queued]:
        size = min(len(self._queue), self._batch_max)
        taken = [self._queue.popleft() for _ in range(size)]
        # After them, the claims that wait for what they create.
        return taken + list(self._joining([work for work, _ in taken]))

    async def _verdicts(self, works: list[Work]) -> Sequence[Verdict]:
        try:
            return await self._commit(works)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            await self._disconnect()
            if len(works) == 1:
                _log.exception("a command cannot be stored")
                return [error]
            # One of them is poison: each goes alone, so that only that one fails.
            return [(await self._verdicts([work]))[0] for work in works]
        except Unavailable as error:
            self.counters.failures += 1
            # An answer may still be under way on that connection.
            await self._disconnect()
            return [error] * len(works)
        except (psycopg.Error, OSError, TimeoutError) as error:
            self.counters.failures += 1
            _log.warning("the database did not take a batch: %s", str(error).strip())
            await self._disconnect()
            return [_refused(error)] * len(works)
        except Exception as error:  # noqa: BLE001 - see below
            # A bug, and these works fail with it; but the writer must live for the others.
            _log.exception("a batch failed")
            await self._disconnect()
            return [error] * len(works)

    async def _commit(self, works: list[Work]) -> Sequence[Verdict]:
        trips = await self._connected()
        try:
            read = await reading.read(trips, works, self._states, self.head)
        except reading.OtherHistory:
            position = self.head.position if self.head is not None else 0
            raise self._stop(
                f"the database does not hold what this server saw in it up to position {position}:"
                " it was rolled back or replaced; restart the server to be told what to do"
            ) from None
        written = await self._caught_up(trips, read)
        bench = Bench(read, self._ledger_id, self._lapses, self._sender, self._states.is_stored)
        verdicts: list[Verdict] = []
        for first in range(0, len(works), _PART):
            judged, write = bench.judge(works[first : first + _PART])
            verdicts += judged
            for name, parameters in write.statements():
                written = True
                trips.send(name, parameters, binary=True)
            # The database writes this while we judge the next part, or gather the read models.
            trips.push()
        refusals = sum(isinstance(verdict, Exception) for verdict in verdicts)
        if written or bench.rooms.write:
            self._send_rest(trips, bench)
            verdicts = await self._finish(trips, bench, read, works, verdicts)
        else:
            trips.send(b"rollback")
            trips.end()
            verdicts = _answered(works, verdicts)
            await trips.answers()
        self.head, self.stopped = bench.head, False
        self._states.keep(bench.states, bench.brought, has_erased=bool(bench.notice.erased))
        self.counters.batches += bool(works)
        self.counters.commands += len(works)
        self.counters.refusals += refusals
        return verdicts

    async def _caught_up(self, trips: RoundTrips, read: BatchRead) -> bool:
        """Bring the read models up to what others recorded; tell whether they were behind."""
        if read.positions is None or read.head is None:
            return False
        try:
            return await changes.catch_up(
                trips, self._projections, read.positions, read.head.position
            )
        except changes.OutOfStep as error:
            raise self._stop(f"nothing can be recorded: {error}") from None

    def _stop(self, reason: str) -> Stopped:
        if not self.stopped:
            _log.critical("%s", reason)
        self.stopped = True
        return Stopped()

    def _send_rest(self, trips: RoundTrips, bench: Bench) -> None:
        """Send what follows from all that was judged: read models, and the news of it."""
        changed = bench.changes
        if bench.rooms.write:
            trips.send(b"schedule", bench.rooms.write.parameters())
        for number, (name, projection) in enumerate(self._projections.items()):
            if (parameters := projection.parameters(changed)) is not None:
                trips.send(name, parameters, binary=True)
                if number == 0:
                    # The database writes the first, which is most of it, while we gather the rest.
                    trips.push()
        trips.send(b"move", changes.moved(self._named, bench.head.position))
        notice = msgspec.json.encode(bench.notice)
        if len(notice) > 7000:  # noqa: PLR2004 - NOTIFY takes less than 8,000 bytes
            short = Notice(sender=self._sender, position=bench.head.position, overflow=True)
            notice = msgspec.json.encode(short)
        trips.send(b"notify", (notice,))

    async def _finish(
        self,
        trips: RoundTrips,
        bench: Bench,
        read: BatchRead,
        works: Sequence[Work],
        verdicts: Sequence[Verdict],
    ) -> list[Verdict]:
        """Commit. Return the verdicts with what will be said of them."""
        answered: list[Verdict] = []
        try:
            trips.send(b"commit")
            trips.end()
            # The database is at work, and we have the time.
            answered = _answered(works, verdicts)
            await trips.answers()
        except (psycopg.OperationalError, OSError, TimeoutError) as error:
            await self._settle(bench, error)
        # At this point the events, the read model and the answers are durable.
        self.counters.events += bench.head.position - (read.head.position if read.head else 0)
        self._on_commit(bench.notice)
        return answered or _answered(works, verdicts)

    async def _settle(self, bench: Bench, error: Exception) -> None:
        """Find out what became of a commit whose answer was lost. Never guess.

        The lock is free once the lost transaction has ended, however it did; then its last event
        is there or is not, and its hash says whether it is ours. A transaction id would not do:
        one that a crash forgot is given again to another.
        """
        _log.warning("the database was lost while committing: %s", str(error).strip())
        if not bench.changes:
            # Only answers to repeated requests were to be kept, which leave no trace in the log.
            await self._disconnect()
            raise OutcomeUnknown from error
        committed: bool | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                while committed is None:
                    await self._disconnect()
                    with contextlib.suppress(psycopg.Error, OSError):
                        committed = await self._is_there(bench.head)
                        break
                    await asyncio.sleep(0.1)
        if committed is None:
            raise OutcomeUnknown from error
        if not committed:
            raise _refused(error) from error

    async def _is_there(self, head: Head) -> bool:
        trips = await self._connected()
        trips.send(b"begin")
        trips.send(b"lock")
        trips.send(b"settle", (str(head.position).encode(), head.leaf_hash.hex().encode()))
        trips.send(b"rollback")
        _, _, found, _ = await trips.answers()
        return found.ntuples == 1

    async def _connected(self) -> RoundTrips:
        if self._trips is None or self._trips.closed:
            await self._disconnect()
            projected = {name: one.statement for name, one in self._projections.items()}
            self._trips = await RoundTrips.connect(self._conninfo, _STATEMENTS | projected)
        return self._trips

    async def _disconnect(self) -> None:
        self._states.forget()
        trips, self._trips = self._trips, None
        if trips is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await trips.close()


def _tell(taken: Iterable[Queued], verdicts: Iterable[Verdict]) -> None:
    """Tell each what became of it, unless it has gone."""
    for (_, future), verdict in zip(taken, verdicts, strict=True):
        if future.done():
            continue
        if isinstance(verdict, Exception):
            future.set_exception(verdict)
        else:
            future.set_result(verdict)


def _answered(works: Iterable[Work], verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the verdicts with what their callers will be told."""
    return [_said(work, verdict) for work, verdict in zip(works, verdicts, strict=True)]


def _said(work: Work, verdict: Verdict) -> Verdict:
    if work.answering is None or isinstance(verdict, Exception):
        return verdict
    try:
        return replace(verdict, answer=work.answering(verdict))
    except Exception as error:  # noqa: BLE001 - it is what the caller is told
        return error


def _refused(error: Exception) -> Unavailable:
    return DiskFull() if isinstance(error, psycopg.errors.DiskFull) else Unavailable()
