"""The smallest HTTP/1.1 client that is honest: one kept-alive connection, whole answers read.

A benchmark on two cores pays for its clients too, so they must be cheap.
"""

import asyncio
import re
from typing import Any, Final

import msgspec

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._address = (host, port)
        self._common = (
            f"Host: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\n"
        )
        self._received = b""
        self._answer: asyncio.Future[tuple[int, bytes]]
        self._transport: asyncio.Transport

    async def open(self) -> None:
        """Connect."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(lambda: self, *self._address)

    def data_received(self, data: bytes) -> None:
        """Take part of an answer; once it is whole, hand it over."""
        self._received += data
        end = self._received.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        said = _LENGTH.search(self._received, 0, end)
        whole = end + (int(said.group(1)) if said else 0)
        if len(self._received) < whole:
            return
        status, body = int(self._received[9:12]), self._received[end:whole]
        self._received = self._received[whole:]
        self._answer.set_result((status, body))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits that nothing more comes."""
        if hasattr(self, "_answer") and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server hung up"))

    async def post(self, path: str, body: bytes, headers: str = "") -> tuple[int, bytes]:
        """Send and return the status and the body of the answer."""
        head = f"POST {path} HTTP/1.1\r\n{self._common}{headers}Content-Length: {len(body)}\r\n\r\n"
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(head.encode() + body)
        return await self._answer

    async def get(self, path: str) -> tuple[int, bytes]:
        """Ask and return the status and the body of the answer."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(f"GET {path} HTTP/1.1\r\n{self._common}\r\n".encode())
        return await self._answer

    async def json(
        self, path: str, body: bytes, expected: int | set[int], headers: str = ""
    ) -> Any:
        """Send, insist on the status, and return the decoded answer."""
        status, answer = await self.post(path, body, headers)
        if status not in (expected if isinstance(expected, set) else {expected}):
            raise RuntimeError(f"{path} answered {status}: {answer[:300]!r}")
        return msgspec.json.decode(answer)

    def close(self) -> None:
        """Disconnect."""
        self._transport.close()
