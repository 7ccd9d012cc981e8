"""One PostgreSQL for a run of the tests, and a fresh, migrated database for each test."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection, sql

from store import database
from store.embedded import EmbeddedServer
from store.keys import Keys
from tests.support.embedded import open_folder

KEYS = Keys(bytes(range(32)))
SERVER_PASSWORD = "for tests only"
_TEMPLATE = "ledger_template"


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
        database.create_database(server.conninfo(), _TEMPLATE)
        self._ledger_id = database.migrate(
            server.conninfo(_TEMPLATE), KEYS, password=SERVER_PASSWORD
        )

    def fresh(self, template: str = _TEMPLATE) -> Database:
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


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a test server in a temporary home, in memory if there is room."""
    with (
        open_folder() as folder,
        EmbeddedServer(folder / "home", durable=False) as server,
    ):
        yield Postgres(server)
