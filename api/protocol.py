"""uvicorn's HTTP protocol: one system call an answer instead of two, and a way to cut it off."""

import asyncio
import re
import weakref
from collections.abc import Iterable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from api.answers import CONNECTION

_UNSAFE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class OneWriteProtocol(HttpToolsProtocol):
    """Sends head and body of an answer together.

    uvicorn writes them one after the other, and uvloop makes a system call of each write. On a
    small answer that is a fifth of what the answer costs.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, behind a transport that gathers."""
        super().connection_made(_Gathering(transport))  # type: ignore[arg-type]

    def on_headers_complete(self) -> None:
        """Begin a request, whose answer may be given whole, or cut the connection."""
        super().on_headers_complete()
        self.scope["extensions"] = {CONNECTION: Connection(self.cycle)}  # type: ignore[dict-item]


class Connection:
    """What the answer to one request can do with the connection, beside what ASGI has."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        # Weak, since the request's scope holds us and uvicorn's cycle holds the scope: what holds
        # itself would wait for the garbage collector. Whoever answers runs in that cycle.
        self._cycle = weakref.ref(cycle)

    def abort(self) -> None:
        """Cut it off, whatever it still holds."""
        if (cycle := self._cycle()) is not None:
            cycle.transport.abort()

    async def answer(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> None:
        """Answer at once, as two ASGI messages would: `headers` must tell the body's length.

        Raises `RuntimeError` for a header that would break the answer, and for a second answer.
        """
        cycle = self._cycle()
        if cycle is None:  # nobody waits for it
            return
        if cycle.response_started:
            raise RuntimeError("This request is answered already.")
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        parts = [STATUS_LINE[status]]
        for name, value in cycle.default_headers:
            parts += (name, b": ", value, b"\r\n")
        for name, value in headers:
            if _UNSAFE.search(value):
                raise RuntimeError("Invalid HTTP header value.")
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        if cycle.scope["method"] != "HEAD":
            parts.append(body)
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        transport: Any = cycle.transport
        transport.send(b"".join(parts))
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()


class _Gathering:
    """A transport that writes once for all that was written in one turn of the event loop."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def send(self, data: bytes) -> None:
        """Write what was gathered and `data`, now."""
        self._parts.append(data)
        self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))
