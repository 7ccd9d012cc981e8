"""One PostgreSQL for a run of the tests, and a fresh, migrated database for each test."""

import atexit
import contextlib
import dataclasses
import functools
import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict

from api.bootstrap import DATABASE, SECRET_KEY
from api.bootstrap import SERVER_PASSWORD as PASSWORD_FILE
from store import database
from store.embedded import OWNER_ROLE, EmbeddedServer
from store.keys import Keys
from tests.support.embedded import PROGRAMS, open_folder

_SECRET = bytes(range(32))
KEYS = Keys(_SECRET)
SERVER_PASSWORD = "for tests only"
_FIRST_WITH_ITERATIONS = 160000


@dataclasses.dataclass(frozen=True)
class Database:
    """A ledger's database: who may do what to it, and which ledger it is.

    Attributes:
        owner: what the owner, a superuser, connects with.
        conninfo: what a server connects with: its own role, which may not change history.
    """

    name: str
    owner: str
    conninfo: str
    ledger_id: UUID
    keys: Keys = KEYS

    @contextlib.contextmanager
    def as_owner(self) -> Iterator[Connection[Any]]:
        """A connection that may do everything."""
        with psycopg.connect(self.owner, autocommit=True) as connection:
            yield connection

    @contextlib.contextmanager
    def as_server(self) -> Iterator[Connection[Any]]:
        """A connection with the rights of a server."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            yield connection


class Postgres:
    """A test server with one migrated database, of which copies are made."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._ledger_id = _migrated(server)

    def fresh(self, template: str = DATABASE) -> Database:
        """Make a database: without any event, or a copy of one that nobody is connected to."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self._server.conninfo(), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        owner = self._server.conninfo(name)
        return Database(
            name=name,
            owner=owner,
            conninfo=database.server_conninfo(owner, password=SERVER_PASSWORD),
            ledger_id=self._ledger_id,
        )

    def drop(self, made: Database) -> None:
        """Remove a database and end whoever is still connected to it."""
        with psycopg.connect(self._server.conninfo(), autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(made.name))
            )


@functools.cache
def _made_home() -> Path:
    """A home with a stopped server and a migrated database; making one takes above a second."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    home = stack.enter_context(open_folder()) / "home"
    home.mkdir(mode=0o700)
    for name, text in ((SECRET_KEY, _SECRET.hex()), (PASSWORD_FILE, SERVER_PASSWORD)):
        (home / name).touch(mode=0o600)
        (home / name).write_text(text)
    with EmbeddedServer(home, bin_dir=PROGRAMS, durable=False) as server:
        _make_connecting_cheap(server)
        _migrated(server)
    return home


def _make_connecting_cheap(server: EmbeddedServer) -> None:
    """Let passwords be hashed once instead of 4,096 times: tests connect thousands of times."""
    owner = sql.Identifier(OWNER_ROLE)
    password = conninfo_to_dict(server.conninfo())["password"]
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        if connection.info.server_version < _FIRST_WITH_ITERATIONS:
            return
        connection.execute("SET scram_iterations = 1")
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(owner, sql.Literal(password))
        )
        connection.execute(sql.SQL("ALTER ROLE {} SET scram_iterations = 1").format(owner))


def copy_home(to: Path) -> None:
    """Make a home as it is before a server's first start, but for that its database is there."""
    subprocess.run(["cp", "-a", _made_home(), to], check=True)


def _migrated(server: EmbeddedServer) -> UUID:
    """Make the ledger's database if it is missing; return the ledger's id."""
    database.create_database(server.conninfo(), DATABASE)
    return database.migrate(server.conninfo(DATABASE), KEYS, password=SERVER_PASSWORD)


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a test server in a temporary home, in memory if there is room."""
    with open_folder() as folder:
        copy_home(folder / "home")
        with EmbeddedServer(folder / "home", bin_dir=PROGRAMS, durable=False) as server:
            yield Postgres(server)
