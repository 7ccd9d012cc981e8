"""Answers made smaller for clients that ask for it: zstd or gzip, by Accept-Encoding."""

import asyncio
import gzip
from collections.abc import Iterable
from typing import Final

# Smaller answers leave in one packet anyway.
BYTES_MIN: Final = 1024
# From there on it takes long enough to hold up every other request.
_THREAD_BYTES: Final = 256 * 1024
_LEVEL: Final = 1
_CODINGS: Final = ("zstd", "gzip")
_TYPES: Final = ("application/json", "application/problem+json", "text/html", "text/plain")


def is_worth_it(content: bytes, media_type: str | None) -> bool:
    """Tell whether an answer is one that is made smaller: long enough, and text."""
    return len(content) >= BYTES_MIN and bool(media_type) and str(media_type).startswith(_TYPES)


def chosen(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the coding that the client likes best of those that we have, None if it wants none.

    What it likes alike is settled by what costs us least.
    """
    said = b",".join(value for name, value in headers if name == b"accept-encoding")
    if not said:
        return None
    weights: dict[str, float] = {}
    for part in said.decode("latin-1").lower().split(","):
        coding, *parameters = (text.strip() for text in part.split(";"))
        weights[coding] = _weight(parameters)
    liked = [(weights.get(coding, weights.get("*", 0.0)), coding) for coding in _CODINGS]
    best = max(liked, key=lambda one: one[0])
    return best[1] if best[0] > 0 else None


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


async def compressed(content: bytes, coding: str) -> bytes:
    """Return `content` in this coding."""
    if len(content) > _THREAD_BYTES:
        return await asyncio.to_thread(_compressed, content, coding)
    return _compressed(content, coding)


def _compressed(content: bytes, coding: str) -> bytes:
    if coding == "gzip":
        return gzip.compress(content, _LEVEL, mtime=0)
    import zstandard  # noqa: PLC0415 - not needed for a server to start

    return zstandard.ZstdCompressor(level=_LEVEL).compress(content)
