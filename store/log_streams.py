"""The whole log, stream by stream: read once by COPY, in order of streams and versions.

Ids of streams begin with their time, so that this order is nearly the one in which events were
written: PostgreSQL walks one index and the table beside it from begin to end.
"""

import struct
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from psycopg import Connection

from domain.events import Event, Happened
from store import copying, mapper

_COLUMNS: Final = (
    "stream_id, command_id, version, schema_version, position, occurred_at, type, payload"
)
# Lengths are known of all columns but the last two, which are then skipped without a look.
_row: Final = struct.Struct(">2x4x16s4x16s4xi4xh4xq4xqi")
_FIXED: Final = _row.size
_TOGETHER: Final = 300


class StreamEvent(NamedTuple):
    """One event as it is stored; `occurred_at` in microseconds since 2000."""

    command_id: bytes
    version: int
    schema_version: int
    position: int
    occurred_at: int
    type: str
    payload: memoryview


class Stream(NamedTuple):
    """All events of one stream, in order of their versions."""

    id: UUID
    events: list[StreamEvent]


class Range(NamedTuple):
    """Streams from `first` on, up to and without `beyond`; None for no bound."""

    first: UUID | None = None
    beyond: UUID | None = None

    def condition(self, column: str) -> str:
        """Return the condition on a column of ids."""
        clauses = ["true"]
        if self.first is not None:
            clauses.append(f"{column} >= '{self.first}'")
        if self.beyond is not None:
            clauses.append(f"{column} < '{self.beyond}'")
        return " AND ".join(clauses)


def streams(connection: Connection[Any], part: Range) -> Iterator[Stream]:
    """Return the streams of a part of the log, in order of their ids.

    The connection is used for nothing else meanwhile. Raises psycopg's errors.
    """
    statement = (
        f"COPY (SELECT {_COLUMNS} FROM ledger.events"  # noqa: S608 - names and ids of ours
        f" WHERE {part.condition('stream_id')}"
        " ORDER BY stream_id, version) TO STDOUT (FORMAT BINARY)"
    )
    types: dict[bytes, str] = {}
    # This loop is most of what reading a log costs: a named tuple's own constructor is slow.
    make, unpack = tuple.__new__, _row.unpack_from
    current = b""
    events: list[StreamEvent] = []
    for data in copying.rows(connection, statement):
        stream_id, command, version, schema, position, at, length = unpack(data)
        end = _FIXED + length
        name = bytes(data[_FIXED:end])
        kind = types.get(name) or types.setdefault(name, name.decode())
        if stream_id != current:
            if events:
                yield Stream(uuid(current), events)
            current, events = stream_id, []
        told = (command, version, schema, position, at, kind, data[end + 4 :])
        events.append(make(StreamEvent, told))
    if events:
        yield Stream(uuid(current), events)


def batches(connection: Connection[Any], part: Range) -> Iterator[list[Stream]]:
    """Return the same, some hundreds at a time.

    What is done to each of them is done faster if it is done to many, one step after the other:
    the processor has a step's code and data at hand.
    """
    found = streams(connection, part)
    while batch := list(islice(found, _TOGETHER)):
        yield batch


def uuid(data: bytes) -> UUID:
    """Return the UUID of 16 bytes, faster than its own constructor."""
    return msgspec.convert(data, UUID)


def time(microseconds: int) -> datetime:
    """Return the time that is so long after the beginning of 2000."""
    return copying.EPOCH + timedelta(0, 0, microseconds)


def decoded(stream_id: UUID, event: StreamEvent) -> Happened:
    """Return what happened. Raises `UnreadableEvent`."""
    command_id, version, schema_version, _, occurred_at, event_type, payload = event
    told: Event = mapper.decode(event_type, schema_version, payload, stream_id=stream_id)
    at = copying.EPOCH + timedelta(0, 0, occurred_at)
    return Happened(stream_id, version, at, msgspec.convert(command_id, UUID), told)
