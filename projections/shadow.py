"""Tables beside those of the read models: made like them, filled unseen, and put in their place.

The tables of a rebuild stand in the schema ``shadow`` under the names that they will have in
``read``, so that a table moves with its indexes and all their names in one step. How a table is
made is asked of the table that is there: migrations are the only place that says it.
"""

from collections.abc import Iterable
from typing import Any, Final

from psycopg import Connection
from psycopg.sql import SQL, Composed, Identifier

SCHEMA: Final = "shadow"
READ: Final = "read"
_EXISTS: Final = "SELECT to_regclass(%s) IS NOT NULL"
_OPTIONS: Final = "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = %s::regclass"
_COLUMN_OPTIONS: Final = """
SELECT attname, array_to_string(attoptions, ', ') FROM pg_attribute
WHERE attrelid = %s::regclass AND attoptions IS NOT NULL AND NOT attisdropped"""
_RIGHTS: Final = """
SELECT a.privilege_type, r.rolname FROM pg_class c
CROSS JOIN LATERAL aclexplode(c.relacl) AS a
JOIN pg_roles r ON r.oid = a.grantee
WHERE c.oid = %s::regclass AND a.grantee <> c.relowner"""
_INDEXES: Final = """
SELECT i.relname, pg_get_indexdef(x.indexrelid), c.contype = 'p'
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_constraint c ON c.conindid = x.indexrelid AND c.contype IN ('p', 'u')
WHERE x.indrelid = %s::regclass ORDER BY i.relname"""
_TYPES: Final = """
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
_KEY: Final = """
SELECT a.attname FROM pg_index x
CROSS JOIN LATERAL unnest(x.indkey) WITH ORDINALITY AS k (attnum, place)
JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
WHERE x.indrelid = %s::regclass AND x.indisprimary ORDER BY k.place"""


def exists(connection: Connection[Any], table: str) -> bool:
    """Tell whether a table of the read models is there."""
    row = connection.execute(_EXISTS, [f"{READ}.{table}"]).fetchone()
    return bool(row and row[0])


def column_types(connection: Connection[Any], table: str) -> dict[str, str]:
    """Return the types of a table's columns by name, in their order."""
    return dict(connection.execute(_TYPES, [f"{READ}.{table}"]).fetchall())


def key(connection: Connection[Any], table: str) -> list[str]:
    """Return the columns of a table's primary key."""
    return [name for (name,) in connection.execute(_KEY, [f"{READ}.{table}"])]


def clear(connection: Connection[Any]) -> None:
    """Begin with nothing: drop what a rebuild that was killed has left."""
    with connection.transaction():
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        connection.execute(f"CREATE SCHEMA {SCHEMA}")


def make(connection: Connection[Any], table: str) -> None:
    """Make the empty twin of a table, without its indexes."""
    there = f"{READ}.{table}"
    twin = Identifier(SCHEMA, table)
    with connection.transaction():
        connection.execute(
            SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL EXCLUDING INDEXES)").format(
                twin, Identifier(READ, table)
            )
        )
        if options := _options(connection, table):
            connection.execute(SQL("ALTER TABLE {} SET ({})").format(twin, options))
        for column, told in connection.execute(_COLUMN_OPTIONS, [there]).fetchall():
            connection.execute(
                SQL("ALTER TABLE {} ALTER COLUMN {} SET ({})").format(
                    twin, Identifier(column), _as_is(told)
                )
            )
        # A vacuum of it would take time from those who fill it, and keep `swap` waiting.
        connection.execute(SQL("ALTER TABLE {} SET (autovacuum_enabled = false)").format(twin))
        for right, role in connection.execute(_RIGHTS, [there]).fetchall():
            connection.execute(
                SQL("GRANT {} ON {} TO {}").format(_as_is(right), twin, Identifier(role))
            )


def indexes(connection: Connection[Any], table: str) -> list[str]:
    """Return the statements that give the twin of a table its indexes, the longest ones first.

    They hinder each other in nothing and may be executed side by side.
    """
    found = connection.execute(_INDEXES, [f"{READ}.{table}"]).fetchall()
    here = [text.replace(f" ON {READ}.", f" ON {SCHEMA}.", 1) for _, text, _ in found]
    return sorted(here, key=lambda text: text.count(","), reverse=True)


def finish(connection: Connection[Any], table: str) -> None:
    """Once the twin of a table has its indexes: make its primary key, and tell the planner."""
    twin = Identifier(SCHEMA, table)
    for name, _, is_primary in connection.execute(_INDEXES, [f"{READ}.{table}"]).fetchall():
        if is_primary:
            connection.execute(
                SQL("ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY USING INDEX {}").format(
                    twin, Identifier(name), Identifier(name)
                )
            )
    connection.execute(SQL("ANALYZE {}").format(twin))


def hold_off_vacuum(connection: Connection[Any], tables: Iterable[str]) -> None:
    """Wait for a vacuum of these tables to end (it gives way), and let none begin.

    Neither readers nor writers are kept waiting by it.
    """
    for table in tables:
        connection.execute(
            SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE").format(Identifier(READ, table))
        )


def swap(connection: Connection[Any], tables: Iterable[str]) -> None:
    """Put the twins in the place of the tables, within a transaction.

    Raises `LockNotAvailable` if a reader does not end within the session's ``lock_timeout``.
    """
    tables = list(tables)
    for table in tables:
        connection.execute(
            SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(Identifier(READ, table))
        )
    for table in tables:
        twin = Identifier(SCHEMA, table)
        options = _options(connection, table)
        connection.execute(SQL("DROP TABLE {}").format(Identifier(READ, table)))
        connection.execute(SQL("ALTER TABLE {} RESET (autovacuum_enabled)").format(twin))
        if options:  # somebody may have set that one himself
            connection.execute(SQL("ALTER TABLE {} SET ({})").format(twin, options))
        connection.execute(SQL("ALTER TABLE {} SET SCHEMA {}").format(twin, Identifier(READ)))


def elsewhere(statement: str) -> str:
    """Return a statement of a read model that works on the twins."""
    return statement.replace(f"{READ}.", f"{SCHEMA}.")


def _options(connection: Connection[Any], table: str) -> Composed | None:
    """Return the storage options of a table, None if it has none."""
    ((options,),) = connection.execute(_OPTIONS, [f"{READ}.{table}"]).fetchall()
    return _as_is(options) if options else None


def _as_is(text: str) -> Composed:
    """Return a piece of SQL that the database itself gave."""
    return SQL(text).format()
