"""Output bodies: raw bytes by offset, beside the events that name their length and digest."""

import asyncio
import hashlib
import secrets
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct
from psycopg_pool import AsyncConnectionPool

from domain.events import BodyDigest, StreamDigest
from store.keys import Keys
from store.work import Message

STREAMS: Final[dict[str, int]] = {"stdout": 1, "stderr": 2}
KEPT_BYTES_MAX: Final = 10 * 1024 * 1024

_INLINE_HASH_BYTES: Final = 256 * 1024
_APPEND: Final = """
SELECT a.result, a.next_offset, EXISTS (
    SELECT 1 FROM ledger.events
    WHERE stream_id = %(execution_id)s AND type = 'execution.cancel_requested')
FROM store.append_output(
    %(execution_id)s, %(fence)s, %(agent_id)s::text, %(stream)s, %(offset)s, %(skip_to)s,
    %(data)b, %(cap)s, %(salt)b
) AS a"""
_CHUNKS: Final = """
SELECT bytes FROM store.output_chunks
WHERE execution_id = %s AND stream = %s ORDER BY start_offset"""
# From the chunk in which the offset lies on; no more rows than a piece can hold.
_PIECE: Final = """
SELECT start_offset, substr(
    bytes, (greatest(%(at)s::bigint, start_offset) - start_offset)::integer + 1,
    (%(at)s::bigint + %(size)s - greatest(%(at)s::bigint, start_offset))::integer)
FROM store.output_chunks
WHERE execution_id = %(execution_id)s AND stream = %(stream)s
  AND start_offset < %(at)s::bigint + %(size)s AND start_offset >= coalesce((
    SELECT max(start_offset) FROM store.output_chunks
    WHERE execution_id = %(execution_id)s AND stream = %(stream)s
      AND start_offset <= %(at)s::bigint), 0)
ORDER BY start_offset LIMIT 1000"""

_SHA256_OF_NOTHING: Final = hashlib.sha256().hexdigest()
NOTHING: Final = StreamDigest(written_bytes=0, kept_bytes=0, kept_sha256="")


class StoredStream(Struct, frozen=True):
    """What is stored of one output stream, without its bytes.

    The preview is the first 4,096 bytes of stdout, the last 4,096 of stderr. Of output that was
    erased only `written_bytes` is known.
    """

    preview: bytes = b""
    written_bytes: int = 0
    kept_bytes: int = 0
    omitted_from: int | None = None
    omitted_to: int | None = None
    salt: bytes = b""
    erased_at: datetime | None = None

    def sealed(self, kept_bytes: int | None) -> "StoredStream":
        """Return the stream as it was when `kept_bytes` were kept of it; as it is if None.

        Also after its outcome is recorded an agent that was given up may send more, which is
        shown only once its late outcome is there.
        """
        if kept_bytes is None or kept_bytes >= self.kept_bytes:
            return self
        omitted_from, omitted_to, written = self.omitted_from, self.omitted_to, kept_bytes
        if omitted_from is not None and omitted_to is not None:
            if kept_bytes > omitted_from:
                written += omitted_to - omitted_from
            else:
                omitted_from = omitted_to = None
        return StoredStream(b"", written, kept_bytes, omitted_from, omitted_to, self.salt)


class Appended(Struct, frozen=True):
    """What became of a chunk, where the stream now ends, and whether a cancel was requested."""

    result: Literal["ok", "gap", "full", "lease_lost"]
    next_offset: int | None
    cancel_requested: bool


async def append(
    pool: AsyncConnectionPool[Any],
    execution_id: UUID,
    fence: UUID,
    stream: str,
    *,
    offset: int,
    data: bytes,
    skip_to: int | None = None,
    agent_id: str | None = None,
) -> Appended:
    """Store `data` at `offset` of the original stream, or at `skip_to` after a cut.

    If `agent_id` is given, the lease of another agent counts as lost.
    """
    parameters = {
        "execution_id": execution_id,
        "fence": fence,
        "agent_id": agent_id,
        "stream": STREAMS[stream],
        "offset": offset,
        "skip_to": skip_to,
        "data": data,
        "cap": KEPT_BYTES_MAX,
        "salt": secrets.token_bytes(16),
    }
    async with pool.connection() as connection:
        row = await (await connection.execute(_APPEND, parameters)).fetchone()
    # At this point the bytes are durable.
    return Appended(*row) if row else Appended("lease_lost", None, cancel_requested=False)


async def read(
    pool: AsyncConnectionPool[Any], execution_id: UUID, stream: str, limit_bytes: int | None = None
) -> bytes:
    """Return the kept bytes of one stream, at most 10 MiB; no more than `limit_bytes` if given."""
    async with pool.connection() as connection, connection.cursor(binary=True) as cursor:
        await cursor.execute(_CHUNKS, [execution_id, STREAMS[stream]])
        kept = b"".join([data for (data,) in await cursor.fetchall()])
    return kept if limit_bytes is None else kept[:limit_bytes]


async def piece(
    pool: AsyncConnectionPool[Any], execution_id: UUID, stream: str, offset: int, size: int
) -> bytes:
    """Return up to `size` bytes that stand at `offset` of the original stream, up to a cut."""
    parameters = {
        "execution_id": execution_id,
        "stream": STREAMS[stream],
        "at": offset,
        "size": size,
    }
    async with pool.connection() as connection, connection.cursor(binary=True) as cursor:
        await cursor.execute(_PIECE, parameters)
        rows = await cursor.fetchall()
    parts: list[bytes] = []
    end = offset
    for start, data in rows:
        if max(start, offset) != end:  # here bytes were left out
            break
        parts.append(data)
        end += len(data)
    return b"".join(parts)


async def digest(
    pool: AsyncConnectionPool[Any],
    execution_id: UUID,
    stream: str,
    stored: StoredStream,
    written_sha256: str | None = None,
) -> StreamDigest:
    """Return what an event says of one stream as it is `stored`.

    Bytes that arrive after `stored` was read are not part of it.
    """
    if written_sha256 == _SHA256_OF_NOTHING and stored.written_bytes == 0:
        return NOTHING
    omitted = None
    if stored.omitted_from is not None and stored.omitted_to is not None:
        omitted = (stored.omitted_from, stored.omitted_to)
    if stored.kept_bytes == 0:
        return StreamDigest(stored.written_bytes, 0, "", omitted, written_sha256)
    kept = await read(pool, execution_id, stream, stored.kept_bytes)
    # Hashing is fast but not free: 10 MiB would hold up every other request for 10 ms.
    if len(kept) > _INLINE_HASH_BYTES:
        sha256 = await asyncio.to_thread(salted_sha256, stored.salt, kept)
    else:
        sha256 = salted_sha256(stored.salt, kept)
    return StreamDigest(stored.written_bytes, stored.kept_bytes, sha256, omitted, written_sha256)


def salted_sha256(salt: bytes, kept: bytes) -> str:
    """Return the hexadecimal SHA-256 of salt and bytes."""
    return hashlib.sha256(salt + kept).hexdigest()


def message(text: str, keys: Keys) -> tuple[Message, BodyDigest]:
    """Return an agent's sentence as it is stored, and what the event says of it.

    The same sentence gives the same digest, so that a report that is repeated is seen to be the
    same.
    """
    body = text.encode()
    salt = keys.salt(body)
    return Message(salt, body), BodyDigest(len(body), salted_sha256(salt, body))
