"""The database: its roles, its schema, and how connections to it behave."""

import hashlib
import select
from importlib import resources
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
from psycopg import AsyncConnection, Connection, sql
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from store.keys import Keys, WrongKey

SERVER_ROLE: Final = "cronledger_server"
MIGRATION_LOCK: Final = 0x6D696772
_LOWEST_VERSION: Final = 150000
_FIRST_WITH_SET_RIGHT: Final = 160000

# A statement that hangs must not hold the append lock, or a pool, for ever.
SESSION: Final = (
    "-c timezone=UTC -c statement_timeout=20s -c lock_timeout=5s"
    " -c idle_in_transaction_session_timeout=15s"
)


class NotReady(Exception):
    """The database cannot serve a ledger; the sentence says what to do."""


def server_conninfo(conninfo: str, *, password: str | None) -> str:
    """Return what the server connects with: as a role that may not change history.

    With a password the role logs in itself. Without one (a single external URL) the session
    switches to it, which keeps honest programs honest; only a login of its own keeps others out.
    """
    if password is not None:
        return make_conninfo(conninfo, user=SERVER_ROLE, password=password, options=SESSION)
    return make_conninfo(conninfo, options=f"{SESSION} -c role={SERVER_ROLE}")


def pool(conninfo: str, *, size: int) -> AsyncConnectionPool[Any]:
    """Return a pool of connections for reads and for writes that are not history; not yet open."""
    return AsyncConnectionPool(
        conninfo,
        min_size=2,
        max_size=size,
        open=False,
        timeout=5,
        max_waiting=1000,
        kwargs={"autocommit": True},
        check=_look_at,
        reconnect_timeout=10,
    )


async def _look_at(connection: AsyncConnection[Any]) -> None:
    """Ask a connection whether it still is one, if something has come over it while it was idle.

    That is how a database that ends says goodbye: each connection of before would cost a request.
    A connection in which nothing stands is as good as it was, which costs no round trip.
    """
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    if poller.poll(0):
        await AsyncConnectionPool.check_connection(connection)


def create_database(conninfo: str, name: str) -> None:
    """Create the database `name` if it is not there."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if found.fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def migrate(conninfo: str, keys: Keys, *, password: str | None) -> UUID:
    """Bring the schema up to date as the owner of the database, and return the ledger's id.

    Safe to run from many servers at once. `password` is the login of the server's role, None if
    the owner's own login switches to it. Raises `NotReady` or `WrongKey`.
    """
    with psycopg.connect(conninfo, autocommit=True) as connection:
        if connection.info.server_version < _LOWEST_VERSION:
            raise NotReady("Cronledger needs PostgreSQL 15 or later; upgrade the database.")
        connection.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            _make_server_role(connection, password)
            _apply(connection)
            return _identify(connection, keys)
        finally:
            connection.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])


def _make_server_role(connection: Connection[Any], password: str | None) -> None:
    found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [SERVER_ROLE])
    role = sql.Identifier(SERVER_ROLE)
    if found.fetchone() is None:
        try:
            connection.execute(sql.SQL("CREATE ROLE {} NOINHERIT").format(role))
        except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            pass  # roles belong to the cluster: a server of another database made it just now
        except psycopg.errors.InsufficientPrivilege as error:
            raise NotReady(
                f"The role {SERVER_ROLE} is missing and this login may not create it: have an "
                f"administrator run CREATE ROLE {SERVER_ROLE}."
            ) from error
    if password is not None:
        connection.execute(
            sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password))
        )
    elif not _may_become_server(connection):
        try:
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
        except psycopg.errors.InsufficientPrivilege as error:
            login = connection.info.user
            raise NotReady(
                f"The login {login} may not work as {SERVER_ROLE}: have an administrator run "
                f"GRANT {SERVER_ROLE} TO {login}."
            ) from error


def _may_become_server(connection: Connection[Any]) -> bool:
    # From 16 on, whoever makes a role is its member, but without the right to switch to it.
    right = "SET" if connection.info.server_version >= _FIRST_WITH_SET_RIGHT else "MEMBER"
    row = connection.execute("SELECT pg_has_role(%s, %s)", [SERVER_ROLE, right]).fetchone()
    return bool(row and row[0])


def _apply(connection: Connection[Any]) -> None:
    with connection.transaction():
        connection.execute("CREATE SCHEMA IF NOT EXISTS migrations")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations.applied (number integer PRIMARY KEY, "
            "name text NOT NULL, sha256 text NOT NULL, applied_at timestamptz DEFAULT now())"
        )
    rows = connection.execute("SELECT number, sha256 FROM migrations.applied").fetchall()
    applied: dict[int, str] = dict(rows)
    known = _migrations()
    if applied and max(applied) > max(known):
        raise NotReady("This database was written by a newer Cronledger; upgrade this one.")
    for number, (name, text) in sorted(known.items()):
        digest = hashlib.sha256(text.encode()).hexdigest()
        if number not in applied:
            with connection.transaction():
                connection.execute(text.encode())
                connection.execute(
                    "INSERT INTO migrations.applied VALUES (%s, %s, %s)", [number, name, digest]
                )
        elif applied[number] != digest:
            raise NotReady(f"Migration {name} was changed after it was applied; restore it.")


def _migrations() -> dict[int, tuple[str, str]]:
    folder = resources.files("store").joinpath("migrations")
    return {
        int(file.name[:4]): (file.name, file.read_text("utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }


def _identify(connection: Connection[Any], keys: Keys) -> UUID:
    ledger_id = uuid4()
    connection.execute(
        "INSERT INTO ledger.identity (ledger_id, key_check) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        [ledger_id, keys.check(ledger_id)],
    )
    found = connection.execute("SELECT ledger_id, key_check FROM ledger.identity")
    return _checked(found.fetchone(), keys)


def _checked(row: tuple[UUID, bytes] | None, keys: Keys) -> UUID:
    if row is None:
        raise NotReady("This ledger has no identity: its database is damaged; restore a backup.")
    ledger_id, key_check = row
    if keys.check(ledger_id) != bytes(key_check):
        raise WrongKey(
            "The secret key does not belong to this ledger: secrets in it could not be read. "
            "Put back the file secret-key (or CRONLEDGER_SECRET_KEY) that it was made with."
        )
    return ledger_id
