"""The proof: everything that the ledger says of itself, checked over the whole log.

All is read in one snapshot, so that a server may go on meanwhile. The chain is followed in order of
position (verify_chain.py), the streams in order of their ids (verify_streams.py), half of both by
each of two processes; what stands beside the log is compared by statements (sql/verify_*.sql).
What it cannot see: whoever may change everything can also compute all hashes anew, up to the head
that was remembered outside the database.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
from msgspec import Struct
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from projections import shadow, sql
from projections.findings import Findings
from projections.folding import rest
from projections.read_models import ReadModel, Refold
from projections.snapshot import Snapshot
from projections.verify_bodies import Erased, erased, job_id_of, missing_of_jobs, still_there
from projections.verify_chain import Span, check_chain
from projections.verify_expected import unwatched_jobs
from projections.verify_rows import KIND, Aside, compared
from projections.verify_streams import Look, check_streams
from projections.workers import Listener, Progress, Told, together
from store.log_streams import Range, halves
from store.witness import Sighting

_SESSION: Final = "-c timezone=UTC -c statement_timeout=0 -c work_mem=64MB"
# Each returns rows of subject and detail; the name of a finding's kind, and its statement.
STATEMENTS: Final = {
    "retry": "verify_retries",
    "configuration": "verify_configurations",
    "queue": "verify_pending",
    "lease": "verify_leases",
    "idempotency": "verify_idempotency",
    "expected job": "verify_expected_jobs",
    "schedule": "verify_schedules",
}


class Verified(Struct, frozen=True):
    """What verify saw, and what it found."""

    position: int
    findings: Findings
    witness_position: int | None
    seconds: float

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings.counts


def verify(
    conninfo: str, models: Sequence[ReadModel], witness: Path, progress: Progress
) -> Verified:
    """Check a whole ledger; `witness` is the file in the home that remembers its head.

    Raises psycopg's errors.
    """
    started = time.monotonic()
    conninfo = make_conninfo(conninfo, options=_SESSION, application_name="cronledger verify")
    found = Findings()
    # Before the snapshot: what was seen by then must be in it.
    seen = _sighting(witness, found)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        tables = [table for model in models for table in model.tables]
        tables = [table for table in tables if shadow.exists(connection, table)]
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        # Before the snapshot: a table that a rebuild swaps in after it would look empty.
        for table in tables:
            connection.execute(
                SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(Identifier(shadow.READ, table))
            )
        ((ledger_id, snapshot, head),) = connection.execute(
            "SELECT (SELECT ledger_id FROM ledger.identity), pg_export_snapshot(),"
            " coalesce(max(position), 0) FROM ledger.events"
        ).fetchall()
        if seen is not None and seen.ledger_id != ledger_id:
            found.add("witness", witness, f"remembers another ledger, {seen.ledger_id}")
            seen = None
        if seen is not None and seen.position > head:
            found.add("witness", seen.position, f"was seen, and the log ends at {head}")
        _check_positions(connection, models, head, found)
        look = Look(
            snapshot=Snapshot(conninfo, snapshot),
            ledger_id=ledger_id,
            seen=seen,
            head=head,
            models=models,
            tables=compared(connection, models, found),
            gone=erased(connection),
        )
        _check_log(look, halves(connection, head), found, progress)
        _check_beside(connection, look, found, progress)
    return Verified(
        position=head,
        findings=found,
        witness_position=seen.position if seen else None,
        seconds=time.monotonic() - started,
    )


def _sighting(witness: Path, found: Findings) -> Sighting | None:
    try:
        return msgspec.json.decode(witness.read_bytes(), type=Sighting)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        found.add("witness", witness, "cannot be read")
        return None


def _check_log(look: Look, parts: Sequence[Range], found: Findings, progress: Progress) -> None:
    """Check the log in parts, and then what only all of them together give."""
    bounds = [look.head * n // len(parts) for n in range(len(parts) + 1)]
    with ExitStack() as stack:
        aside = {
            one.table: Aside(stack, look.snapshot, one, found)
            for one in look.tables
            if not one.is_in_step
        }
        checked = together(
            [
                (_check_part, (look, Span(*span), part))
                for span, part in zip(pairwise(bounds), parts, strict=True)
            ],
            Told(progress, "checking", 2 * look.head, lambda some: aside[some.table].lay(some)),
            events=look.head,
        )
        for more, _ in checked:
            found.join(more)
        left = rest([refolds for _, refolds in checked])
        for table, one in aside.items():
            one.finish(left.get(table, ()))


def _check_part(
    look: Look, span: Span, part: Range, listener: Listener
) -> tuple[Findings, list[Refold]]:
    """Check some positions, and some streams: both halves of the work are halved."""
    with look.snapshot.connect() as connection:
        found = check_chain(connection, look.ledger_id, span, look.seen, listener)
    return found, check_streams(look, part, found, listener)


def _check_positions(
    connection: Connection[Any], models: Sequence[ReadModel], head: int, found: Findings
) -> None:
    rows = connection.execute("SELECT name, version, position FROM read.projections")
    positions = {(name, version): position for name, version, position in rows}
    for model in models:
        at = positions.get((model.name, model.version))
        if at != head:
            stands = "has no position" if at is None else f"stands at position {at}"
            found.add(KIND, f"{model.name} {model.version}", f"{stands}, and the log at {head}")


def _check_beside(
    connection: Connection[Any], look: Look, found: Findings, progress: Progress
) -> None:
    """Compare what stands beside the log with the read model, which was compared with the log."""
    gone = look.gone
    said: set[str] = set()
    tables = [table for model in look.models for table in model.tables]
    if not all(shadow.exists(connection, table) for table in tables):
        return
    for number, (kind, name) in enumerate(STATEMENTS.items()):
        progress("comparing", number, len(STATEMENTS))
        for subject, detail in connection.execute(sql.named(name).encode()):
            if kind == "configuration" and _is_erased(subject, detail, gone):
                found.erased += 1
            else:
                found.add(kind, subject, detail)
            if kind == "configuration":
                said.add(subject)
    for subject, detail in unwatched_jobs(connection):
        found.add("expected job", subject, detail)
    for digest in still_there(connection, gone):
        found.add("configuration", digest.hex(), "was erased by an event, and is there")
    for digest in missing_of_jobs(connection, gone):
        if digest.hex() in said:
            continue  # executions name it too
        if digest in gone.configurations:
            found.erased += 1
        else:
            job = job_id_of(connection, gone.named_by_jobs[digest])
            found.add("configuration", digest.hex(), f"is missing, and named by the job {job}")


def _is_erased(digest: str, detail: str, gone: Erased) -> bool:
    return "missing" in detail and bytes.fromhex(digest) in gone.configurations
