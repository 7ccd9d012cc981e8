"""Exports for tests: made, taken apart, and put together again with a last line that fits."""

import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import psycopg

from store import archive, exporting
from tests.support.postgres import Database

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
