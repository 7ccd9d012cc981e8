"""Exports for tests: made, taken apart, and put together again with a last line that fits."""

import hashlib
import io
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
from msgspec.structs import astuple, replace
from psycopg import sql

from store import archive, chain, exporting
from store.chain import EventRow
from tests.support.postgres import Database

_NAMES = EventRow.__struct_fields__
Lines = list[dict[str, Any]]


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
