"""One state of the whole database, seen by several connections and processes."""

from typing import Any

import psycopg
from msgspec import Struct
from psycopg import Connection


class Snapshot(Struct, frozen=True):
    """What everybody sees who connects by it, for as long as the one who exported it goes on."""

    conninfo: str
    name: str

    def connect(self) -> Connection[Any]:
        """Return a connection in a transaction that sees this state."""
        connection = psycopg.connect(self.conninfo, autocommit=True)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute(f"SET TRANSACTION SNAPSHOT '{self.name}'")
        return connection
