"""The whole ledger out of the database, from one snapshot, without keeping it in memory.

Secrets leave encrypted as they are stored. Tokens never leave. What is not history and can be
known from it (the queue, leases, cancels, schedules) is made anew by the import; keys of requests
and who was seen last are not worth keeping.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from psycopg import Connection, IsolationLevel, sql
from psycopg.rows import args_row, dict_row

from store import chain
from store.archive import FORMAT, EventLine, LedgerLine, Line, RowLine, Writer, payload_fields

# The tables that go with the log, in this order, and how many rows are held at a time: a chunk of
# output may have megabytes.
TABLES: Final[dict[str, int]] = {
    "configurations": 50,
    "messages": 200,
    "outputs": 200,
    "output_chunks": 8,
    "expected_jobs": 1000,
}
# The others, which an import makes anew or does without.
MADE_ANEW: Final = frozenset({"pending", "leases", "cancels", "held", "schedules"})
LEFT_OUT: Final = frozenset(
    {
        *("idempotency", "agents", "tokens", "sessions", "sign_in_links"),
        *("followers", "planned_retries", "retry_budget"),
        *("webhooks", "deliveries", "delivery_attempts", "told_missed"),
    }
)
_EVENTS_AT_ONCE: Final = 1000
_EVENTS: Final = """
SELECT position, commit_number, occurred_at, recorded_at, stream_id, command_id, correlation_id,
       version, schema_version, type, actor, leaf_hash, payload
FROM ledger.events ORDER BY position"""
# A reader of the file may take its time: no statement, and no pause between two, is too long.
PATIENT: Final = (
    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;"
    " SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL timezone = 'UTC'"
)


def size(connection: Connection[Any]) -> int:
    """Return how many events and rows an export has at this moment, for a progress bar."""
    total = 0
    count = sql.SQL("SELECT count(*) FROM store.{}")
    counts: list[sql.Composed] = [count.format(sql.Identifier(table)) for table in TABLES]
    counts.append(sql.SQL("SELECT coalesce(max(position), 0) FROM ledger.events").format())
    for statement in counts:
        ((found,),) = connection.execute(statement).fetchall()
        total += found
    return total


def export(connection: Connection[Any], writer: Writer, progress: Callable[[int], None]) -> None:
    """Write the ledger as it is now. `progress` is told how many events and rows are written."""
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with connection.transaction():
        connection.execute(PATIENT)
        writer.write([_first_line(connection)])
        for events in _events(connection):
            writer.events += len(events)
            writer.write(cast("list[Line]", events))
            progress(writer.events)
        for table, at_once in TABLES.items():
            for rows in _rows(connection, table, at_once):
                writer.rows += len(rows)
                writer.write(cast("list[Line]", rows))
                progress(writer.events + writer.rows)
        writer.end()


def _first_line(connection: Connection[Any]) -> LedgerLine:
    found = connection.execute("SELECT ledger_id, created_at, key_check FROM ledger.identity")
    ledger_id, created_at, key_check = cast("Any", found.fetchone())
    head = connection.execute(
        "SELECT position, leaf_hash FROM ledger.events ORDER BY position DESC LIMIT 1"
    ).fetchone()
    position, leaf_hash = head or (0, chain.beginning(ledger_id).leaf_hash)
    return LedgerLine(FORMAT, ledger_id, created_at, key_check, position, leaf_hash)


def _event(*columns: Any) -> EventLine:
    fields: tuple[Any, ...] = payload_fields(columns[-1])
    return EventLine(*columns[:-1], *fields)


def _events(connection: Connection[Any]) -> Iterator[list[EventLine]]:
    with connection.cursor("events", row_factory=args_row(_event)) as cursor:
        cursor.execute(_EVENTS.encode(), binary=True)
        while events := cursor.fetchmany(_EVENTS_AT_ONCE):
            yield events


def _rows(connection: Connection[Any], table: str, at_once: int) -> Iterator[list[RowLine]]:
    key = [sql.Identifier(name) for name in primary_key(connection, table)]
    # In order of their names: two ledgers may have got their columns in different orders.
    names = [sql.Identifier(name) for name in sorted(columns(connection, table))]
    statement = sql.SQL("SELECT {} FROM store.{} ORDER BY {}").format(
        sql.SQL(", ").join(names), sql.Identifier(table), sql.SQL(", ").join(key)
    )
    with connection.cursor("rows", row_factory=dict_row) as cursor:
        cursor.execute(statement, binary=True)
        while rows := cursor.fetchmany(at_once):
            yield [RowLine(table, row) for row in rows]


def columns(connection: Connection[Any], table: str) -> dict[str, str]:
    """Return the columns of a table of the store, and the type of each."""
    found = connection.execute(
        "SELECT column_name::text, data_type::text FROM information_schema.columns"
        " WHERE table_schema = 'store' AND table_name = %s",
        [table],
    )
    return dict(found.fetchall())


def primary_key(connection: Connection[Any], table: str) -> list[str]:
    """Return the columns by which the rows of a table of the store are told apart, in order."""
    found = connection.execute(
        "SELECT a.attname::text FROM pg_index i"
        " CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (number, place)"
        " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number"
        " WHERE i.indisprimary AND i.indrelid = format('store.%%I', %s::text)::regclass"
        " ORDER BY k.place",
        [table],
    )
    return [name for (name,) in found.fetchall()]
