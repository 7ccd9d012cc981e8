"""The smallest HTTP/1.1 client that is honest: one kept-alive connection, whole answers read.

A benchmark on two cores pays for its clients too, so they must be cheap.
"""

import asyncio
import json
from typing import Any


class Connection:
    """One client's connection."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._address = (host, port)
        self._common = (
            f"Host: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\n"
        )

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(*self._address)

    async def post(self, path: str, body: bytes, headers: str = "") -> tuple[int, bytes]:
        """Send and return the status and the body of the answer."""
        head = f"POST {path} HTTP/1.1\r\n{self._common}{headers}Content-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        status = int(answer[9:12])
        length = 0
        for line in answer.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
        return status, await self._reader.readexactly(length) if length else b""

    async def json(self, path: str, body: bytes, expected: int, headers: str = "") -> Any:
        """Send, insist on the status, and return the decoded answer."""
        status, answer = await self.post(path, body, headers)
        if status != expected:
            raise RuntimeError(f"{path} answered {status}: {answer[:300]!r}")
        return json.loads(answer)

    def close(self) -> None:
        """Disconnect."""
        self._writer.close()
