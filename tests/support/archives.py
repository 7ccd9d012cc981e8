"""Exports for tests: made, taken apart, and put together again with a last line that fits."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from msgspec.structs import astuple, replace
from psycopg import sql

from api.settings import Settings
from projections.read_models import READ_MODELS
from store import archive, chain, exporting, importing
from store.chain import EventRow
from store.importing import Imported
from store.keys import Keys
from tests.support.postgres import Database, Postgres

_NAMES = EventRow.__struct_fields__
Lines = list[dict[str, Any]]
LAPSES = Settings(home=Path("/nowhere")).lapses


def exported(database: Database) -> bytes:
    """The whole ledger, as a file would hold it."""
    content = io.BytesIO()
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        exporting.export(connection, archive.Writer(content), lambda _: None)
    return content.getvalue()


def resealed(content: bytes, change: Callable[[Lines], None]) -> bytes:
    """A changed export whose last line is right again, as of one who knows the form."""
    *lines, _ = [json.loads(line) for line in content.splitlines()]
    change(lines)
    texts = [json.dumps(line, separators=(",", ":"), ensure_ascii=False) for line in lines]
    said = "".join(f"{text}\n" for text in texts).encode()
    kinds = [line["kind"] for line in lines]
    end = {
        "kind": "end",
        "events": kinds.count("event"),
        "rows": kinds.count("row"),
        "sha256": hashlib.sha256(said).hexdigest(),
    }
    return said + json.dumps(end).encode() + b"\n"


def append(database: Database, stream_id: UUID, event_type: str, payloads: list[bytes]) -> None:
    """Record events of a stream that nobody knows, a commit each, as a newer version would."""
    names = sql.SQL(", ").join(map(sql.Identifier, _NAMES))
    newest = sql.SQL("SELECT {} FROM ledger.events ORDER BY position DESC LIMIT 1").format(names)
    insert = sql.SQL("INSERT INTO ledger.events ({}) VALUES ({})").format(
        names, sql.SQL(", ").join([sql.Placeholder()] * len(_NAMES))
    )
    with database.as_owner() as owner:
        for version, payload in enumerate(payloads, 1):
            (found,) = owner.execute(newest).fetchall()
            last = EventRow(*found)
            row = replace(
                last,
                position=last.position + 1,
                commit_number=last.commit_number + 1,
                stream_id=stream_id,
                version=version,
                type=event_type,
                payload=payload,
            )
            row = replace(row, leaf_hash=chain.leaf_hash(row, last.leaf_hash))
            owner.execute(insert, astuple(row))


def imported(database: Database, content: bytes, keys: Keys | None = None) -> Imported:
    """Import a file as the owner of the database."""
    with database.as_owner() as owner:
        reader = archive.Reader(archive.opened(io.BytesIO(content), lambda _: None))
        opened = importing.begin(reader, keys or database.keys)
        return importing.restore(owner, opened, READ_MODELS, LAPSES)


@pytest.fixture
def other(postgres: Postgres) -> Iterator[Database]:
    """An empty ledger of another name."""
    yield from _empty(postgres)


@pytest.fixture(scope="module")
def still_empty(postgres: Postgres) -> Iterator[Database]:
    """The same for all that leaves it so."""
    yield from _empty(postgres)


def _empty(postgres: Postgres) -> Iterator[Database]:
    """An empty ledger of another name."""
    made = postgres.fresh()
    with made.as_owner() as connection:
        ledger_id = UUID(int=4711)
        connection.execute(
            "UPDATE ledger.identity SET ledger_id = %s, key_check = %s",
            [ledger_id, made.keys.check(ledger_id)],
        )
    yield made
    postgres.drop(made)


def is_empty(database: Database) -> bool:
    """Whether an import left nothing."""
    tables = ["ledger.events", "read.executions_1", "store.pending", "store.leases"]
    tables += [f"store.{table}" for table in exporting.TABLES]
    return not any(stored_rows(database, table, "1, 2") for table in tables)


def stored_rows(database: Database, table: str, columns: str = "*") -> list[Any]:
    """The rows of a table, in order."""
    with database.as_owner() as owner:
        statement = f"SELECT {columns} FROM {table} ORDER BY 1, 2"  # noqa: S608 - a test's own
        return owner.execute(statement.encode()).fetchall()


def first_event(lines: Lines, kind: str = "execution.completed") -> dict[str, Any]:
    """The first event of a type."""
    return next(line for line in lines if line.get("type") == kind)


def first_row(lines: Lines, table: str) -> dict[str, Any]:
    """The first row of a table."""
    row: dict[str, Any] = next(line for line in lines if line.get("table") == table)["row"]
    return row
