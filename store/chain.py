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

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FIXED: Final = struct.Struct(">QQqq16s16s16s16sIH")
_LENGTH: Final = struct.Struct(">I").pack


class Head(Struct, frozen=True, gc=False):
    """The last event of the log, or the beginning of an empty one."""

    position: int
    commit_number: int
    recorded_at: datetime
    leaf_hash: bytes


class NewEvent(Struct, frozen=True, gc=False):
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


class PlacedEvent(Struct, frozen=True, gc=False):
    """An event with its position and hash; what all events of a commit share stands in `Commit`."""

    position: int
    occurred_at: datetime
    stream_id: UUID
    command_id: UUID
    correlation_id: UUID
    version: int
    schema_version: int
    type: str
    actor: str
    payload: bytes
    leaf_hash: bytes


class Commit(Struct, frozen=True, gc=False):
    """The events of one transaction, in order."""

    commit_number: int
    recorded_at: datetime
    ledger_id: UUID
    events: list[PlacedEvent]


class EventRow(Struct, frozen=True, gc=False):
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
    head: Head, ledger_id: UUID, now: datetime, new: Iterable[NewEvent], commit_number: int
) -> tuple[Commit, Head]:
    """Return the events of one commit (or of a part of it) in their places, and the head after.

    `now` is the database's clock, read under the lock; `recorded_at` never goes back even if that
    clock does.
    """
    recorded_at = max(now, head.recorded_at)
    position, previous = head.position, head.leaf_hash
    shared = _since(recorded_at, ledger_id)
    placed = []
    for event in new:
        position += 1
        previous = _hash(previous, event, position, commit_number, shared)
        placed.append(
            PlacedEvent(
                position,
                event.occurred_at,
                event.stream_id,
                event.command_id,
                event.correlation_id,
                event.version,
                event.schema_version,
                event.type,
                event.actor,
                event.payload,
                previous,
            )
        )
    commit = Commit(commit_number, recorded_at, ledger_id, placed)
    return commit, Head(position, commit_number, recorded_at, previous) if placed else head


def leaf_hash(row: EventRow, previous: bytes) -> bytes:
    """Return the hash of `row`: SHA-256 over the previous leaf hash and every other column.

    The columns are laid out so that no two rows share an encoding: first those of fixed size, big
    endian (position, commit number, both times in microseconds since 1970, ledger, stream,
    command and correlation id, version, schema version), then type, actor and payload, each after
    its length in four bytes.
    """
    shared = _since(row.recorded_at, row.ledger_id)
    return _hash(previous, row, row.position, row.commit_number, shared)


def _since(recorded_at: datetime, ledger_id: UUID) -> tuple[int, bytes]:
    """Return what all events of a commit share as it is hashed."""
    return (recorded_at - _EPOCH) // _MICROSECOND, ledger_id.bytes


def _hash(
    previous: bytes,
    event: NewEvent | EventRow,
    position: int,
    commit_number: int,
    shared: tuple[int, bytes],
) -> bytes:
    recorded_at, ledger_id = shared
    type_, actor, payload = event.type.encode(), event.actor.encode(), event.payload
    fixed = _FIXED.pack(
        position,
        commit_number,
        (event.occurred_at - _EPOCH) // _MICROSECOND,
        recorded_at,
        ledger_id,
        # Not `bytes`, a property: this is half of what a hash costs.
        event.stream_id.int.to_bytes(16, "big"),
        event.command_id.int.to_bytes(16, "big"),
        event.correlation_id.int.to_bytes(16, "big"),
        event.version,
        event.schema_version,
    )
    type_length, actor_length = _LENGTH(len(type_)), _LENGTH(len(actor))
    parts = (
        previous,
        fixed,
        type_length,
        type_,
        actor_length,
        actor,
        _LENGTH(len(payload)),
        payload,
    )
    return hashlib.sha256(b"".join(parts)).digest()
