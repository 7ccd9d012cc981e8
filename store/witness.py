"""The head of the ledger, remembered outside the database.

A database that was restored from an older backup, or rolled back by its storage, looks healthy
from the inside. The home folder remembers how far the ledger had come, and with which hash.
"""

import os
from pathlib import Path
from uuid import UUID

import msgspec
import psycopg
from msgspec import Struct

from store.chain import Head


class HistoryLost(Exception):
    """The database holds less, or another, history than was seen before."""


class Sighting(Struct, frozen=True):
    """How far a ledger had come when it was last looked at."""

    ledger_id: UUID
    position: int
    leaf_hash: bytes


def remember(path: Path, ledger_id: UUID, head: Head) -> None:
    """Write the head to `path`, replacing what was there in one step. Blocks on fsync."""
    written = msgspec.json.encode(Sighting(ledger_id, head.position, head.leaf_hash))
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(written)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def compare(path: Path, conninfo: str, ledger_id: UUID) -> None:
    """Raise `HistoryLost` if the database does not hold what was seen before."""
    try:
        seen = msgspec.json.decode(path.read_bytes(), type=Sighting)
    except FileNotFoundError:
        return
    except msgspec.MsgspecError:
        seen = None
    advice = (
        f"If you restored it on purpose, remove {path} and start again; what was recorded since "
        "that backup is gone."
    )
    if seen is None:
        raise HistoryLost(f"{path} cannot be read. {advice}")
    if seen.ledger_id != ledger_id:
        raise HistoryLost(f"The database holds another ledger than the one last seen. {advice}")
    with psycopg.connect(conninfo, autocommit=True) as connection:
        found = connection.execute(
            "SELECT leaf_hash FROM ledger.events WHERE position = %s", [seen.position]
        ).fetchone()
    if seen.position and (found is None or bytes(found[0]) != seen.leaf_hash):
        raise HistoryLost(
            f"The ledger had come to position {seen.position}, and the database does not hold "
            f"that event (any more). {advice}"
        )
