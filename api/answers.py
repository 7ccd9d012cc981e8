"""Answers: wire structs as JSON bytes, and how they leave."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec
from litestar.types import Receive, Scope, Send
from msgspec import Struct

JSON: Final = "application/json"

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

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it, and count it."""
        counts[self.status] += 1
        headers = []
        if self.media_type is not None:
            headers.append((b"content-type", self.media_type.encode("latin-1")))
            headers.append((b"content-length", b"%d" % len(self.content)))
        for name, value in (self.headers or {}).items():
            headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.content, "more_body": False})


def encoded(body: object) -> bytes:
    """Return `body` as JSON bytes."""
    return _encoder.encode(body)


def json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answered:
    """Return `body`, a wire struct or bytes that are JSON already, as an answer."""
    content = body if isinstance(body, bytes) else _encoder.encode(body)
    return Answered(content, status, headers=headers)


def empty(status: int = 204, headers: Mapping[str, str] | None = None) -> Answered:
    """Return an answer without a body."""
    return Answered(b"", status, None, headers)
