"""Several prepared statements in one network round trip.

The appender's time is the ledger's time: while it holds the lock, nobody else records. psycopg's
own pipeline suspends for every statement, and the event loop does other work in between while
PostgreSQL waits for the next one. Here statements leave at once, over libpq's pipeline mode
(psycopg.pq), and only the answers are waited for. See docs/decisions/0002.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import psycopg
from psycopg import AsyncConnection, errors, pq
from psycopg.adapt import Transformer

_T = TypeVar("_T")

_LOOK_SECONDS: Final = 0.5
_TRIP_SECONDS: Final = 30.0
# What is sent here is a handful of index lookups: planned once, and never, for want of statistics,
# as a scan of all history.
_PLANNING: Final = (
    "SET plan_cache_mode = force_generic_plan;"
    " SET enable_seqscan = off; SET enable_bitmapscan = off"
)
_DONE: Final = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


class RoundTrips:
    """A connection that is used for nothing else, with its statements prepared.

    `hear` is told channel and payload of each notification that comes on it.
    """

    def __init__(
        self, connection: AsyncConnection[Any], hear: Callable[[bytes, bytes], None] | None = None
    ) -> None:
        self._connection = connection
        self._hear = hear
        self._pg = connection.pgconn
        self._loading = Transformer(connection)
        self._sent = 0
        self._has_ended = False
        self._since = 0.0
        self._ready: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._broken = False
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        # A descriptor of our own: libpq closes its one as soon as the connection is lost, and by
        # then its number may belong to somebody else's connection.
        self._socket = os.dup(self._pg.socket)
        # Registered once: to come and go with every answer would cost two system calls each.
        self._loop.add_reader(self._socket, self._readable)
        self._look_again()

    @classmethod
    async def connect(
        cls,
        conninfo: str,
        statements: dict[bytes, str] | Callable[[int], dict[bytes, str]],
        *,
        planning: str = "",
        hear: Callable[[bytes, bytes], None] | None = None,
    ) -> "RoundTrips":
        """Connect and prepare `statements`, which may depend on the server's version (as 180004).

        `planning` are settings beside ours.

        Raises psycopg's errors, and OSError.
        """
        async with asyncio.timeout(_TRIP_SECONDS):
            connection = await AsyncConnection.connect(conninfo, autocommit=True, connect_timeout=2)
            try:
                await connection.execute(f"{_PLANNING};{planning}".encode())
                trips = cls(connection, hear)
            except BaseException:
                await connection.close()
                raise
            try:
                if callable(statements):
                    statements = statements(connection.info.server_version)
                await trips.prepare(statements)
            except BaseException:
                await trips.close()
                raise
        return trips

    def _look_again(self) -> None:
        """Look by ourselves, twice a second: the loop may not tell of a connection's end.

        libuv ends a watch when the socket reports an error, as it does when the peer dies with our
        request unread: its last words would be read, and its end never be heard.
        And here it is noticed that an answer does not come: a timer for each would cost more.
        """
        if not self._broken:
            if self._loop.time() - self._since > _TRIP_SECONDS:
                self._fail(TimeoutError("the database does not answer"))
            self._readable()
            self._loop.call_later(_LOOK_SECONDS, self._look_again)

    def _fail(self, error: Exception) -> None:
        """Tell whoever waits that what it waits for does not come."""
        for waiting in (self._ready, self._room):
            if waiting is not None and not waiting.done():
                waiting.set_exception(error)

    async def close(self) -> None:
        """Disconnect; harmless if repeated."""
        self._broken = True
        self._ended.set()
        descriptor, self._socket = self._socket, -1
        if descriptor >= 0:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        self._fail(psycopg.OperationalError("the connection to the database was closed"))
        await self._connection.close()

    @property
    def closed(self) -> bool:
        """Whether the connection is known to be gone."""
        return self._broken or self._connection.closed

    async def ended(self, seconds: float) -> bool:
        """Wait so long for the end of the connection; tell whether it came."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        return self.closed

    async def prepare(self, statements: dict[bytes, str]) -> None:
        """Prepare statements by name, whose parameters are $1, $2 and so on."""
        self._pg.enter_pipeline_mode()
        for name, text in statements.items():
            self._pg.send_prepare(name, text.encode())
        self._sent = len(statements)
        await self.answers()

    def send(
        self,
        name: bytes,
        parameters: Sequence[bytes | None] = (),
        *,
        binary: bool = False,
        result_format: pq.Format = pq.Format.TEXT,
    ) -> None:
        """Send a statement with the next ones; `binary` says in which format its parameters are."""
        formats = [pq.Format.BINARY] * len(parameters) if binary else None
        self._pg.send_query_prepared(name, parameters, formats, result_format)
        self._sent += 1

    def push(self) -> None:
        """Let what was sent leave, so that the database begins with it."""
        # What does not fit into the socket's buffer leaves with the next flush.
        self._pg.flush()

    def end(self) -> None:
        """Let what was sent leave, as one; `answers` then waits for it."""
        self._pg.pipeline_sync()
        self._pg.flush()
        self._has_ended = True

    async def answers(self) -> list[pq.abc.PGresult]:
        """Return the results of what was sent, once all of them have come.

        Raises psycopg's error of the first statement that failed; those after it were not
        executed. Raises `OperationalError` if the connection was lost, and `TimeoutError` after
        half a minute, which leave the outcome unknown: then close.
        """
        self._since = self._loop.time()
        expected, self._sent = self._sent, 0
        if not self._has_ended:
            self._pg.pipeline_sync()
        self._has_ended = False
        while self._pg.flush():
            await self._writable()
        results: list[pq.abc.PGresult] = []
        failed: psycopg.Error | None = None
        while True:
            await self._until_there()
            result = self._pg.get_result()
            if result is None:  # the end of one statement's results, or of the connection
                if self._pg.status == pq.ConnStatus.BAD:
                    raise psycopg.OperationalError("the connection to the database was lost")
                continue
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                break
            if result.status in _DONE:
                results.append(result)
            elif failed is None:
                failed = errors.error_from_result(result)
        self._tell()
        if failed is not None:
            raise failed
        if len(results) != expected:
            raise psycopg.OperationalError("the database did not answer every statement")
        return results

    async def _until_there(self) -> None:
        """Read until the next result is there."""
        while self._pg.is_busy():
            if self._broken:
                raise psycopg.OperationalError("the connection to the database was lost")
            self._ready = self._loop.create_future()
            await self._ready
            self._pg.consume_input()

    def _readable(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None and not ready.done():
            ready.set_result(None)
            return
        # Nobody waits: a notification, or the end of the connection.
        try:
            self._pg.consume_input()
        except psycopg.Error:
            self._broken = True
            self._ended.set()
            self._loop.remove_reader(self._socket)
        else:
            self._tell()

    def _tell(self) -> None:
        if self._hear is not None:
            while notification := self._pg.notifies():
                self._hear(notification.relname, notification.extra)

    async def _writable(self) -> None:
        self._room = self._loop.create_future()
        self._loop.add_writer(self._socket, _wake, self._room)
        try:
            await self._room
        finally:
            self._loop.remove_writer(self._socket)

    def rows(self, result: pq.abc.PGresult, make: Callable[..., _T]) -> list[_T]:
        """Return what `make` makes of each row of a result in binary format."""
        self._loading.set_pgresult(result, format=pq.Format.BINARY)
        return self._loading.load_rows(0, result.ntuples, lambda columns: make(*columns))


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def array(values: Iterable[object]) -> bytes:
    """Return an array of uuids as a text parameter."""
    return ("{" + ",".join(map(str, values)) + "}").encode()


def text_array(values: Iterable[str]) -> bytes:
    """Return an array of texts as a text parameter."""
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return ("{" + ",".join(f'"{value}"' for value in quoted) + "}").encode()
