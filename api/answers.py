"""Answers: wire structs as JSON bytes, and how they leave."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final

import msgspec
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from api import compression

_log = logging.getLogger(__name__)

JSON: Final = "application/json"
READING: Final = frozenset({"GET", "HEAD"})  # methods that change nothing

# An ASGI extension of ours: protocol.Connection.
CONNECTION: Final = "cronledger.connection"
# A client that takes nothing for so long is not waited for. Less than what a stopping server has.
_STUCK_SECONDS: Final = 5.0

# Answers with these say by their status that they have no body.
_WITHOUT_LENGTH: Final = frozenset({204, 304})

# Answers by status, of this process.
counts: Final[Counter[int]] = Counter()

_encoder: Final = msgspec.json.Encoder()


class Answered(Struct, frozen=True):
    """One answer, whole, which litestar calls to send it; without a media type it has no body.

    An answer of litestar's own class costs as much again as all that litestar does before.
    """

    content: bytes
    status: int = 200
    media_type: str | None = JSON
    headers: Mapping[str, str] | None = None

    async def __call__(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        """Send it, smaller if the client asks for that, and count it."""
        counts[self.status] += 1
        content, more = self.content, self.headers
        if scope.get("method") in READING and compression.is_worth_it(content, self.media_type):
            content, more = await _coded(content, more or {}, scope)
        headers = []
        if self.media_type is not None:
            headers.append((b"content-type", self.media_type.encode("latin-1")))
        if self.status not in _WITHOUT_LENGTH:
            headers.append((b"content-length", b"%d" % len(content)))
        if more:
            for name, value in more.items():
                headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))
        await _connection(scope).answer(self.status, headers, content)


async def _coded(
    content: bytes, headers: Mapping[str, str], scope: Scope
) -> tuple[bytes, dict[str, str]]:
    """Return an answer and its headers in the coding that the client likes best."""
    changed = dict(headers)
    if "Content-Encoding" in changed:
        return content, changed
    vary = changed.get("Vary")
    changed["Vary"] = f"{vary}, Accept-Encoding" if vary else "Accept-Encoding"
    coding = compression.chosen(scope["headers"])
    if coding is None:
        return content, changed
    changed["Content-Encoding"] = coding
    if "ETag" in changed:
        # Another representation has another tag.
        changed["ETag"] = f'{changed["ETag"][:-1]}-{coding}"'
    return await compression.compressed(content, coding), changed


class Streamed(Struct, frozen=True):
    """An answer in parts, each sent as soon as it is there and the client has taken the last.

    A client that hangs up ends the parts at once; one that takes nothing for five seconds is cut
    off.
    """

    parts: AsyncGenerator[bytes, None]
    media_type: str
    headers: Mapping[str, str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the parts, and count the answer."""
        counts[200] += 1
        if scope.get("method") == "HEAD":
            await self._start(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            await self.parts.aclose()
            return
        sending = asyncio.create_task(self._send(send, _connection(scope).abort))
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            gone.cancel()
            await asyncio.wait({sending, gone})
            await self.parts.aclose()

    async def _start(self, send: Send) -> None:
        headers = [(b"content-type", self.media_type.encode("latin-1"))]
        for name, value in self.headers.items():
            headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _send(self, send: Send, abort: Callable[[], None]) -> None:
        await self._start(send)
        try:
            async for part in self.parts:
                stuck = asyncio.get_running_loop().call_later(_STUCK_SECONDS, abort)
                try:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                finally:
                    stuck.cancel()
                # One turn of the loop: the part leaves, or is felt to be in the way of the next.
                await asyncio.sleep(0)
        except Exception:  # noqa: BLE001 - the head has left: all that is left to do is to end
            _log.exception("a streamed answer broke off")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    """Return when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _connection(scope: Scope) -> Any:
    """Return the `protocol.Connection` of a request."""
    extensions: Any = scope["extensions"]
    return extensions[CONNECTION]


def encoded(body: object) -> bytes:
    """Return `body` as JSON bytes."""
    return _encoder.encode(body)


def json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answered:
    """Return `body`, a wire struct or bytes that are JSON already, as an answer."""
    content = body if isinstance(body, bytes) else _encoder.encode(body)
    return Answered(content, status, headers=headers)


def not_modified(tag: str) -> Answered:
    """Return an answer to a client that has what `tag` names already."""
    return Answered(b"", 304, None, {"ETag": tag, "Vary": "Accept-Encoding"})


def empty(status: int = 204, headers: Mapping[str, str] | None = None) -> Answered:
    """Return an answer without a body."""
    return Answered(b"", status, None, headers)
