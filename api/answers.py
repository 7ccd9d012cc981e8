"""Answers: wire structs as JSON bytes."""

from typing import Final

import msgspec
from litestar import MediaType, Response

_encoder: Final = msgspec.json.Encoder()


def encoded(body: object) -> bytes:
    """Return `body` as JSON bytes."""
    return _encoder.encode(body)


def json(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    """Return `body`, a wire struct or bytes that are JSON already, as an answer."""
    content = body if isinstance(body, bytes) else _encoder.encode(body)
    return Response(content, status_code=status, headers=headers, media_type=MediaType.JSON)


def empty(status: int = 204) -> Response[bytes]:
    """Return an answer without a body."""
    return Response(b"", status_code=status)
