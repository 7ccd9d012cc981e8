"""Positions, times and hashes: what turns decided events into rows of the one ordered log.

Pure. The appender and the recorder call it under the append lock with the head that they read.
"""

import hashlib
import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FIXED: Final = struct.Struct(">QQqq16s16s16s16sIH")


class Head(Struct, frozen=True):
    """The last event of the log, or the beginning of an empty one."""

    position: int
    commit_number: int
    recorded_at: datetime
    leaf_hash: bytes


class NewEvent(Struct, frozen=True):
    """An event that is decided and encoded, and has no position yet."""

    stream_id: UUID
    version: int
    type: str
    schema_version: int
    occurred_at: datetime
    actor: str
    command_id: UUID
    correlation_id: UUID
    payload: bytes


class EventRow(Struct, frozen=True):
    """One row of ``ledger.events``; the names of the fields are those of the columns."""

    position: int
    commit_number: int
    occurred_at: datetime
    recorded_at: datetime
    ledger_id: UUID
    stream_id: UUID
    command_id: UUID
    correlation_id: UUID
    version: int
    schema_version: int
    type: str
    actor: str
    payload: bytes
    leaf_hash: bytes


def beginning(ledger_id: UUID) -> Head:
    """Return the head of a ledger without events."""
    genesis = hashlib.sha256(b"cronledger:1:" + ledger_id.bytes).digest()
    return Head(position=0, commit_number=0, recorded_at=_EPOCH, leaf_hash=genesis)


def extend(
    head: Head, ledger_id: UUID, now: datetime, new: Iterable[NewEvent]
) -> tuple[list[EventRow], Head]:
    """Return the rows of one commit and the head after it.

    `now` is the database's clock, read under the lock; `recorded_at` never goes back even if that
    clock does.
    """
    recorded_at = max(now, head.recorded_at)
    commit_number = head.commit_number + 1
    position, previous = head.position, head.leaf_hash
    rows = []
    for event in new:
        position += 1
        row = EventRow(
            position=position,
            commit_number=commit_number,
            occurred_at=event.occurred_at,
            recorded_at=recorded_at,
            ledger_id=ledger_id,
            stream_id=event.stream_id,
            command_id=event.command_id,
            correlation_id=event.correlation_id,
            version=event.version,
            schema_version=event.schema_version,
            type=event.type,
            actor=event.actor,
            payload=event.payload,
            leaf_hash=b"",
        )
        previous = leaf_hash(row, previous)
        rows.append(replace(row, leaf_hash=previous))
    if not rows:
        return rows, head
    return rows, Head(position, commit_number, recorded_at, previous)


def leaf_hash(row: EventRow, previous: bytes) -> bytes:
    """Return the hash of `row`: SHA-256 over the previous leaf hash and every other column.

    The columns are laid out so that no two rows share an encoding: first those of fixed size, big
    endian (position, commit number, both times in microseconds since 1970, ledger, stream,
    command and correlation id, version, schema version), then type, actor and payload, each after
    its length in four bytes.
    """
    digest = hashlib.sha256(previous)
    digest.update(
        _FIXED.pack(
            row.position,
            row.commit_number,
            (row.occurred_at - _EPOCH) // _MICROSECOND,
            (row.recorded_at - _EPOCH) // _MICROSECOND,
            row.ledger_id.bytes,
            row.stream_id.bytes,
            row.command_id.bytes,
            row.correlation_id.bytes,
            row.version,
            row.schema_version,
        )
    )
    for text in (row.type.encode(), row.actor.encode(), row.payload):
        digest.update(len(text).to_bytes(4, "big") + text)
    return digest.digest()
