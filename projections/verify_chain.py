"""The log in order of position: no hole, no event edited, moved, removed or put in between.

Each event's leaf hash covers all its columns and the leaf hash of the position before, so that a
change behind the ledger's back shows unless all hashes after it are computed anew; and then the
head that was remembered outside the database does not fit any more.
"""

import hashlib
import struct
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from msgspec import Struct
from psycopg import Connection

from projections.findings import Findings
from projections.workers import Listener
from store import chain, copying
from store.log_streams import SINCE_1970, time, uuid
from store.witness import Sighting

_COPY: Final = """
COPY (
    SELECT position, commit_number, occurred_at, recorded_at, ledger_id, stream_id, command_id,
           correlation_id, version, schema_version, leaf_hash, type, actor, payload
    FROM ledger.events WHERE position > {after} AND position <= {upto} ORDER BY position
) TO STDOUT (FORMAT BINARY)"""
_BEFORE: Final = """
SELECT position, commit_number, recorded_at, leaf_hash
FROM ledger.events WHERE position <= %s ORDER BY position DESC LIMIT 1"""
_row: Final = struct.Struct(">2x4xq4xq4xq4xq4x16s4x16s4x16s4x16s4xi4xh4x32s")
_hashed: Final = struct.Struct(">QQqq16s16s16s16sIH")
_FIXED: Final = _row.size
_TOLD_EVERY: Final = 5000


class Span(NamedTuple):
    """Positions after one of them, up to another."""

    after: int
    upto: int


class _Before(Struct):
    """What the event before said."""

    position: int
    commit_number: int
    recorded_at: int | None
    leaf_hash: bytes | None


def check_chain(
    connection: Connection[Any],
    ledger_id: UUID,
    span: Span,
    seen: Sighting | None,
    listener: Listener,
) -> Findings:
    """Return what is wrong with positions, commits, times and hashes of a part of the log.

    The event before it is taken as it stands: whoever checks the part before judges it. `seen` is
    the head that was remembered outside the database before this snapshot was taken.
    """
    found = Findings()
    before, own, told = _before(connection, ledger_id, span.after), ledger_id.bytes, 0
    copy = _COPY.format(after=span.after, upto=span.upto)
    count = 0
    for count, data in enumerate(copying.rows(connection, copy), 1):
        position, commit, occurred, recorded, ledger, stream, command, correlation, *rest = (
            _row.unpack_from(data)
        )
        version, schema, leaf_hash = rest
        if position != before.position + 1:
            found.add("position", position, f"follows position {before.position}")
            before.leaf_hash = None
        if ledger != own:
            found.add("ledger", position, f"belongs to the ledger {uuid(ledger)}, not to this one")
        if before.leaf_hash is not None:
            fixed = _hashed.pack(
                *(position % 2**64, commit % 2**64),
                *(occurred + SINCE_1970, recorded + SINCE_1970),
                *(ledger, stream, command, correlation, version % 2**32, schema % 2**16),
            )
            # What is left has the very layout in which it is hashed: each text after its length.
            text = before.leaf_hash + fixed + data[_FIXED:]
            if hashlib.sha256(text).digest() != leaf_hash:
                found.add("leaf hash", position, "is not that of the event and the ones before it")
        if recorded != before.recorded_at or commit != before.commit_number:
            _check_commit(found, before, position, commit, recorded)
        if seen is not None and position == seen.position and leaf_hash != seen.leaf_hash:
            found.add("witness", position, "is another event than the one that was seen here")
        before.position, before.commit_number = position, commit
        before.recorded_at, before.leaf_hash = recorded, leaf_hash
        if count - told >= _TOLD_EVERY:
            listener.add(count - told)
            told = count
    listener.add(count - told)
    return found


def _before(connection: Connection[Any], ledger_id: UUID, position: int) -> _Before:
    row = connection.execute(_BEFORE, [position]).fetchone()
    if row is None:
        return _Before(0, 0, None, chain.beginning(ledger_id).leaf_hash)
    last, commit, recorded_at, leaf_hash = row
    since = (recorded_at - copying.EPOCH) // timedelta(microseconds=1)
    return _Before(last, commit, since, leaf_hash)


def _check_commit(
    found: Findings, before: _Before, position: int, commit: int, recorded: int
) -> None:
    step = commit - before.commit_number
    if step not in {0, 1} or (before.recorded_at is None and step != 1):
        found.add("commit", position, f"is of commit {commit}, after commit {before.commit_number}")
    if before.recorded_at is None:
        return
    if recorded < before.recorded_at:
        at = time(recorded).isoformat()
        found.add("recorded_at", position, f"{at} is earlier than that of the position before")
    elif step == 0 and recorded != before.recorded_at:
        found.add("recorded_at", position, "is another than that of the rest of its commit")
