"""The whole log, stream by stream: read once by COPY, in order of streams and versions.

Ids of streams begin with their time, so that this order is nearly the one in which events were
written: PostgreSQL walks one index and the table beside it from begin to end.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from psycopg import Connection

from domain.events import Happened
from store import copying, mapper
from store.mapper import UnreadableEvent

_COLUMNS: Final = (
    "stream_id, command_id, version, schema_version, position, occurred_at, type, payload"
)
# Lengths are known of all columns but the last two.
_row: Final = struct.Struct(">2x4x16s4x16s4xi4xh4xq4xqi")
_FIXED: Final = _row.size
_ID: Final = slice(6, 22)
_TOGETHER: Final = 200
# The database counts from 2000, all else from 1970.
SINCE_1970: Final = (copying.EPOCH - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
# Up to here a double of seconds tells one microsecond from the next (to the year 2242).
_TOLD_APART: Final = 2**33 * 1_000_000


class Stream(Struct, frozen=True, gc=False):
    """All events of one stream, in order of their versions.

    `happened` are those that can be read: all of them, or those before the first that cannot, and
    then `unreadable` says why. `kind` is the type of the first.
    """

    id: UUID
    kind: str
    versions: Sequence[int]
    positions: Sequence[int]
    happened: list[Happened]
    unreadable: UnreadableEvent | None = None


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


def halves(connection: Connection[Any], head: int) -> list[Range]:
    """Return two parts of the log with about as many events each; one part of an empty log."""
    row = connection.execute(
        "SELECT stream_id FROM ledger.events WHERE position > %s ORDER BY position LIMIT 1",
        [head // 2],
    ).fetchone()
    return [Range(None, row[0]), Range(row[0], None)] if row else [Range()]


def batches(connection: Connection[Any], part: Range) -> Iterator[list[Stream]]:
    """Return the streams of a part of the log, in order of their ids, some dozens at a time.

    The connection is used for nothing else meanwhile. Raises psycopg's errors.
    """
    statement = (
        f"COPY (SELECT {_COLUMNS} FROM ledger.events"  # noqa: S608 - names and ids of ours
        f" WHERE {part.condition('stream_id')}"
        " ORDER BY stream_id, version) TO STDOUT (FORMAT BINARY)"
    )
    return grouped(copying.rows(connection, statement))


def grouped(found: Iterable[memoryview]) -> Iterator[list[Stream]]:
    """Return the streams that the rows of such a COPY hold.

    What is done to each event is done faster if it is done to many, one step after the other: most
    of it then happens outside Python's own loop. Of more than some hundred events the processor
    has not all at hand any more, and what was won is lost.
    """
    rows: list[memoryview] = []
    for row in found:
        if len(rows) >= _TOGETHER and row[_ID] != rows[-1][_ID]:
            yield _streams(rows)
            rows = []
        rows.append(row)
    if rows:
        yield _streams(rows)


def _streams(rows: Sequence[memoryview]) -> list[Stream]:
    """Return the streams whose events these are, column by column."""
    columns = zip(*map(_row.unpack_from, rows), strict=True)
    stream_ids, commands, versions, schemas, positions, at, lengths = columns
    kinds, payloads = [], []
    for row, length in zip(rows, lengths, strict=True):
        end = _FIXED + length
        kinds.append(bytes(row[_FIXED:end]))
        payloads.append(row[end + 4 :])
    names = {kind: kind.decode() for kind in set(kinds)}
    types = [names[kind] for kind in kinds]
    ids = msgspec.convert(stream_ids, list[UUID])
    events = mapper.decode_all(types, schemas, payloads)
    told = events or list(map(_closely, ids, types, schemas, payloads))
    commanded = msgspec.convert(commands, list[UUID])
    happened = list(map(Happened, ids, versions, times(at), commanded, told))
    begins = [n for n, (one, before) in enumerate(pairwise(stream_ids), 1) if one != before]
    found = [
        Stream(ids[n], types[n], versions[n:end], positions[n:end], happened[n:end])
        for n, end in pairwise([0, *begins, len(rows)])
    ]
    return found if events else list(map(_as_far_as_readable, found))


def _closely(stream_id: UUID, event_type: str, schema: int, payload: memoryview) -> Any:
    """Return an event, or why it cannot be read."""
    try:
        return mapper.decode(event_type, schema, payload, stream_id=stream_id)
    except UnreadableEvent as error:
        return error


def _as_far_as_readable(stream: Stream) -> Stream:
    for n, one in enumerate(stream.happened):
        told: object = one.event
        if isinstance(told, UnreadableEvent):
            return replace(stream, happened=stream.happened[:n], unreadable=told)
    return stream


def uuid(data: bytes) -> UUID:
    """Return the UUID of 16 bytes, faster than its own constructor."""
    return msgspec.convert(data, UUID)


def time(microseconds: int) -> datetime:
    """Return the time that is so long after the beginning of 2000."""
    return copying.EPOCH + timedelta(0, 0, microseconds)


def times(microseconds: Sequence[int]) -> list[datetime]:
    """Return the times that are so long after the beginning of 2000, at a third of the cost."""
    if min(microseconds) < -SINCE_1970 or max(microseconds) + SINCE_1970 >= _TOLD_APART:
        return list(map(time, microseconds))
    seconds = [(one + SINCE_1970) / 1_000_000 for one in microseconds]
    return msgspec.convert(seconds, list[datetime], strict=False)
