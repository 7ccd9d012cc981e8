"""An exported ledger into an empty database: the same positions, the same bytes, or nothing at all.

One transaction, under the locks of servers that write or start. What is not in the file (read
models, queue, leases, how far schedules are settled) is made from the events at the end.
"""

import base64
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from msgspec import Struct
from psycopg import Connection, RawCursor

from store import chain, exporting, sql
from store.appender import APPEND_LOCK
from store.archive import FORMAT, EventLine, LedgerLine, Line, Reader, Refused, RowLine
from store.chain import EventRow, Head
from store.changes import Projection
from store.database import MIGRATION_LOCK
from store.exporting import TABLES
from store.keys import Keys
from store.refold import Refolded, refold
from store.work import Lapses

_TYPES: Final = (
    *("int8", "int8", "timestamptz", "timestamptz", "uuid", "uuid", "uuid", "uuid"),
    *("int4", "int2", "text", "text", "bytea", "bytea"),
)
_ROWS_BYTES_MAX: Final = 1 << 22
_ROWS_MAX: Final = 500
_OTHERS_SECONDS: Final = 3.0
_OTHERS: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IS NOT NULL
  AND coalesce(backend_type, 'client backend') = 'client backend'"""


class Imported(Struct, frozen=True):
    """What was imported: which ledger, and how far it goes."""

    ledger_id: UUID
    head: Head
    rows: int


class Opened(Struct, frozen=True):
    """An exported ledger whose first line was read."""

    first: LedgerLine
    reader: Reader
    lines: Iterator[Line]


def begin(reader: Reader, keys: Keys | None) -> Opened:
    """Read the first line. Raises `Refused` if this is no export, or of a ledger of other keys."""
    if keys is None:
        raise Refused(
            "There is no secret key here: put the file secret-key of the exported ledger into the "
            "new home first, since its secrets are encrypted with it."
        )
    lines = reader.lines()
    first = next(lines, None)
    if not isinstance(first, LedgerLine):
        raise reader.refused("the file is no export of Cronledger")
    if first.format != FORMAT:
        raise reader.refused(
            f"the file has the format {first.format}, and this version reads {FORMAT}: upgrade"
        )
    if keys.check(first.ledger_id) != first.key_check:
        raise Refused(
            "This ledger was made with another secret key, without which its secrets cannot be "
            "read: begin with a new home, and put its file secret-key there first."
        )
    return Opened(first, reader, lines)


def restore(
    connection: Connection[Any],
    opened: Opened,
    projections: Sequence[Projection],
    lapses: Lapses,
) -> Imported:
    """Import the rest, as the owner of a migrated database without events.

    Raises `Refused`; then the database is as it was.
    """
    try:
        with connection.transaction():
            return _restored(connection, opened, projections, lapses)
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        told = str(error).strip().partition("\n")[0]
        raise opened.reader.refused(
            f"the database does not take what stands there ({told})"
        ) from error


def _restored(
    connection: Connection[Any],
    opened: Opened,
    projections: Sequence[Projection],
    lapses: Lapses,
) -> Imported:
    connection.execute(exporting.PATIENT)
    _be_alone(connection)
    first = opened.first
    events = _Events(first, opened.reader)
    other = events.copy_in(connection, opened.lines)
    rows = _Rows(connection, opened.reader)
    while other is not None:
        rows.take(other)
        other = next(opened.lines, None)
    rows.flush()
    told = refold(connection, projections, events.head.position, lapses)
    _check_configurations(connection, told)
    connection.execute(sql.named("adopt_jobs").encode())
    # Retries and messages are about what happens from here on.
    connection.execute("UPDATE store.followers SET position = %s", [events.head.position])
    connection.execute(
        "UPDATE ledger.identity SET ledger_id = %s, key_check = %s, created_at = %s",
        [first.ledger_id, first.key_check, first.created_at],
    )
    return Imported(first.ledger_id, events.head, rows.count)


def _be_alone(connection: Connection[Any]) -> None:
    """Lock out those who would write or start; refuse if there is anything, or anybody."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [APPEND_LOCK])
    if connection.execute("SELECT 1 FROM ledger.events LIMIT 1").fetchone():
        raise Refused("The ledger here is not empty: import into a new home or database.")
    deadline = time.monotonic() + _OTHERS_SECONDS
    # Sessions that were closed a moment ago are seen for a little longer.
    while others := _others(connection):
        if time.monotonic() > deadline:
            raise Refused(
                f"{others} other sessions use this database: stop the servers that work on it."
            )
        time.sleep(0.05)


def _others(connection: Connection[Any]) -> int:
    # Else the statistics that were read first would be shown for the whole transaction.
    connection.execute("SELECT pg_stat_clear_snapshot()")
    row = connection.execute(_OTHERS.encode()).fetchone()
    return int(row[0]) if row else 0


class _Events:
    """Takes events in, and follows the chain of their positions and hashes."""

    def __init__(self, first: LedgerLine, reader: Reader) -> None:
        self._first = first
        self._reader = reader
        self.head = chain.beginning(first.ledger_id)

    def copy_in(self, connection: Connection[Any], lines: Iterator[Line]) -> Line | None:
        """Store events up to the first line that is none, and return that."""
        names = ", ".join(EventRow.__struct_fields__)
        statement = f"COPY ledger.events ({names}) FROM STDIN (FORMAT binary)"
        other: Line | None = None
        with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.set_types(_TYPES)
            for line in lines:
                if not isinstance(line, EventLine):
                    other = line
                    break
                copy.write_row(msgspec.structs.astuple(self._placed(line)))
        if (self.head.position, self.head.leaf_hash) != (
            self._first.position,
            self._first.leaf_hash,
        ):
            raise self._reader.refused(
                f"the events end at position {self.head.position}, and by the first line they "
                f"should at {self._first.position}"
            )
        return other

    def _placed(self, line: EventLine) -> EventRow:
        before = self.head
        row = EventRow(
            line.position,
            line.commit_number,
            line.occurred_at,
            line.recorded_at,
            self._first.ledger_id,
            line.stream_id,
            line.command_id,
            line.correlation_id,
            line.version,
            line.schema_version,
            line.type,
            line.actor,
            line.stored,
            line.leaf_hash,
        )
        if row.position != before.position + 1:
            raise self._reader.refused(
                f"position {row.position} follows position {before.position}"
            )
        if (
            not 0 <= row.commit_number - before.commit_number <= 1
            or row.recorded_at < before.recorded_at
        ):
            raise self._reader.refused(f"position {row.position} was recorded out of order")
        if chain.leaf_hash(row, before.leaf_hash) != row.leaf_hash:
            raise self._reader.refused(
                f"the event at position {row.position} was changed: its hash is another"
            )
        self.head = Head(row.position, row.commit_number, row.recorded_at, row.leaf_hash)
        return row


class _Rows:
    """Takes rows of the body tables in, some at a time."""

    def __init__(self, connection: Connection[Any], reader: Reader) -> None:
        self._connection = connection
        self._reader = reader
        self._columns = {table: exporting.columns(connection, table) for table in TABLES}
        self._waiting: list[RowLine] = []
        self._bytes = 0
        self.count = 0

    def take(self, line: Line) -> None:
        """Keep a row, and write those that wait if they are of another kind, or enough."""
        if not isinstance(line, RowLine):
            raise self._reader.refused("an event or a beginning stands where rows should")
        known = self._columns.get(line.table)
        if known is None or not line.row.keys() <= known.keys():
            raise self._reader.refused("the row is of a newer version of Cronledger: upgrade")
        if self._waiting and (
            line.table != self._waiting[0].table
            or line.row.keys() != self._waiting[0].row.keys()
            or self._bytes > _ROWS_BYTES_MAX
            or len(self._waiting) == _ROWS_MAX
        ):
            self.flush()
        for name, value in line.row.items():
            if known[name] == "bytea" and value is not None:
                line.row[name] = "\\x" + self._unpacked(value).hex()
                self._bytes += len(value)
        self._waiting.append(line)
        self.count += 1

    def _unpacked(self, value: object) -> bytes:
        try:
            return base64.b64decode(str(value), validate=True)
        except ValueError as error:
            raise self._reader.refused(f"the file is damaged ({error})") from error

    def flush(self) -> None:
        """Write the rows that wait."""
        if not self._waiting:
            return
        names = ", ".join(f'"{name}"' for name in self._waiting[0].row)
        table = self._waiting[0].table
        statement = sql.named("import_rows").format(table=table, columns=names)
        with RawCursor(self._connection) as cursor:
            rows = msgspec.json.encode([line.row for line in self._waiting]).decode()
            cursor.execute(statement.encode(), [rows])
        self._waiting, self._bytes = [], 0


def _check_configurations(connection: Connection[Any], told: Refolded) -> None:
    told.texts.take_executions(connection)
    known = [list(told.texts.gone), list(told.texts.named_by_jobs), told.is_readable]
    with RawCursor(connection) as cursor:
        wrong = cursor.execute(sql.named("wrong_configurations").encode(), known).fetchone()
    if wrong is not None:
        raise Refused("The configuration {} {}.".format(*wrong))
