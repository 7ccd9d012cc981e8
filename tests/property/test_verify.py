"""`verify` names whatever is done to a ledger behind its back, and says nothing of a whole one."""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from psycopg import Connection
from psycopg.rows import class_row

from projections import verify_chain
from projections.findings import SHOWN_MAX, Findings
from projections.read_models import READ_MODELS
from projections.verify import verify
from store import chain, witness
from store.chain import EventRow, Head
from tests.support.lives import live
from tests.support.postgres import Database, Postgres

NOWHERE: Final = Path("/nonexistent/head")


@pytest.fixture(scope="module")
def lived(postgres: Postgres) -> Database:
    """A ledger, stopped by now, in which everything happened that can happen."""
    made = postgres.fresh()
    asyncio.run(live(made))
    return made


@pytest.fixture
def damaged(postgres: Postgres, lived: Database) -> Iterator[tuple[Database, Connection[Any]]]:
    """A copy of that ledger, and a superuser's connection to it that no trigger hinders."""
    copy = postgres.fresh(template=lived.name)
    with copy.as_owner() as connection:
        connection.execute("ALTER TABLE ledger.events DISABLE TRIGGER ALL")
        connection.execute("SET session_replication_role = replica")
        yield copy, connection
    postgres.drop(copy)


def found(database: Database, seen: Path = NOWHERE) -> Findings:
    """What verify finds."""
    return verify(database.owner, READ_MODELS, seen, lambda *_: None).findings


def lines(findings: Findings) -> list[str]:
    """Findings as lines."""
    return [
        f"{one.kind}: {one.subject}: {one.detail}"
        for shown in findings.shown.values()
        for one in shown
    ]


def _remember(connection: Connection[Any], ledger: Database, seen: Path) -> int:
    """Remember the head as a server does, and return its position."""
    row = connection.execute(
        "SELECT position, commit_number, recorded_at, leaf_hash FROM ledger.events"
        " ORDER BY position DESC LIMIT 1"
    ).fetchone()
    assert row is not None
    witness.remember(seen, ledger.ledger_id, Head(*row))
    return int(row[0])


def test_a_whole_ledger_is_sound(lived: Database, tmp_path: Path) -> None:
    """Of a ledger that nobody damaged nothing is said, also beside the head that was remembered."""
    seen = tmp_path / "head"
    with lived.as_owner() as connection:
        head = _remember(connection, lived, seen)

    verified = verify(lived.owner, READ_MODELS, seen, lambda *_: None)

    assert lines(verified.findings) == []
    assert verified.is_sound
    assert (verified.position, verified.witness_position) == (head, head)


# What is done, which kinds of findings it must lead to and no others, and a part of one.
DAMAGES: Final[dict[str, tuple[str, set[str], str]]] = {
    "event edited": (
        "UPDATE ledger.events SET actor = 'nobody' WHERE position = 4",
        {"leaf hash"},
        "leaf hash: 4: is not that of the event",
    ),
    "payload edited": (
        """UPDATE ledger.events SET payload = convert_to(replace(convert_from(payload, 'UTF8'),
           '"duration_ms":12', '"duration_ms":11'), 'UTF8') WHERE position = 3""",
        {"leaf hash", "read model"},
        "duration_ms is 12, and should be 11",
    ),
    "payload cut off": (
        "UPDATE ledger.events SET payload = substr(payload, 1, 20) WHERE position = 3",
        {"leaf hash", "payload", "read model"},
        "payload: ",
    ),
    "type unknown": (
        "UPDATE ledger.events SET type = 'execution.vanished' WHERE position = 2",
        {"leaf hash", "payload", "read model", "lease"},
        "position 2: execution.vanished: unknown type",
    ),
    "leaf hash flipped": (
        """UPDATE ledger.events SET leaf_hash = set_bit(leaf_hash, 0, 1 - get_bit(leaf_hash, 0))
           WHERE position = 3""",
        {"leaf hash"},
        "leaf hash: 4: ",
    ),
    "event deleted": (
        """DELETE FROM ledger.events WHERE type = 'execution.cancel_requested'
           AND stream_id = (SELECT id FROM read.executions_1 WHERE status = 'running'
                            AND cancel_requested_at IS NOT NULL)""",
        {"position", "commit", "read model"},
        "cancel_requested_at is",
    ),
    "first event deleted": (
        "DELETE FROM ledger.events WHERE position = 1",
        {"position", "version", "path", "read model", "output"},
        "an execution begins with execution.created",
    ),
    "two events swapped": (
        """UPDATE ledger.events SET position = 1002 WHERE position = 2;
           UPDATE ledger.events SET position = 2 WHERE position = 3;
           UPDATE ledger.events SET position = 3 WHERE position = 1002""",
        {"leaf hash", "order", "commit", "recorded_at", "read model"},
        "order: ",
    ),
    "position moved away": (
        """UPDATE ledger.events SET position = position + 1
           WHERE position = (SELECT max(position) FROM ledger.events)""",
        {"position", "read model"},
        "follows position",
    ),
    "event inserted": (
        """INSERT INTO ledger.events SELECT (SELECT max(position) + 1 FROM ledger.events),
            commit_number, occurred_at, recorded_at, ledger_id, stream_id, gen_random_uuid(),
            correlation_id, 4, schema_version, type, actor, payload, leaf_hash
            FROM ledger.events WHERE position = 2""",
        {"leaf hash", "commit", "recorded_at", "path", "read model", "lease"},
        "execution.started cannot follow in the status success",
    ),
    "version skipped": (
        "UPDATE ledger.events SET version = 9 WHERE position = 3",
        {"leaf hash", "version", "read model"},
        "version 9 stands where 3 should be",
    ),
    "another ledger's event": (
        "UPDATE ledger.events SET ledger_id = gen_random_uuid() WHERE position = 5",
        {"leaf hash", "ledger"},
        "ledger: 5: belongs to the ledger",
    ),
    "recorded too early": (
        "UPDATE ledger.events SET recorded_at = recorded_at - interval '1 day' WHERE position = 9",
        {"leaf hash", "recorded_at"},
        "is earlier than that of the position before",
    ),
    "commit number lowered": (
        "UPDATE ledger.events SET commit_number = 1 WHERE position = 9",
        {"leaf hash", "commit"},
        "commit: 9: is of commit 1",
    ),
    "row changed": (
        "UPDATE read.executions_1 SET signal = 9 WHERE status = 'success'",
        {"read model"},
        "signal is 9, and should be None",
    ),
    "row's time changed": (
        "UPDATE read.executions_1 SET started_at = started_at + interval '1 us'",
        {"read model"},
        "started_at is",
    ),
    "row missing": (
        "DELETE FROM read.executions_1 WHERE status = 'success' AND late_outcome IS NULL",
        {"read model", "lease"},
        "the row is missing",
    ),
    "row extra": (
        """CREATE TEMPORARY TABLE more AS SELECT * FROM read.executions_1
           WHERE status = 'success' LIMIT 1;
           UPDATE more SET id = gen_random_uuid(), root_id = NULL; UPDATE more SET root_id = id;
           INSERT INTO read.executions_1 SELECT * FROM more""",
        {"read model"},
        "the row belongs to no execution",
    ),
    "projection behind": (
        "UPDATE read.projections SET position = position - 1 WHERE name = 'executions'",
        {"read model"},
        "stands at position",
    ),
    "projection forgotten": (
        "DELETE FROM read.projections WHERE name = 'executions'",
        {"read model"},
        "has no position",
    ),
    "output byte flipped": (
        """UPDATE store.output_chunks SET bytes = set_bit(bytes, 40000, 1 - get_bit(bytes, 40000))
           WHERE stream = 1""",
        {"output"},
        "kept bytes are not those that its event names",
    ),
    "output cut": (
        "UPDATE store.output_chunks SET bytes = substr(bytes, 1, 5000) WHERE stream = 1",
        {"output"},
        "bytes were kept, and 5000 are there",
    ),
    "output moved": (
        "UPDATE store.output_chunks SET start_offset = 3 WHERE stream = 2",
        {"output"},
        "a chunk begins at 3, not at 0",
    ),
    "output gone": (
        "DELETE FROM store.output_chunks; DELETE FROM store.outputs",
        {"output"},
        "bytes of it are missing",
    ),
    "output without a row": ("DELETE FROM store.outputs", {"output"}, "has chunks, and no row"),
    "output of nobody": (
        """UPDATE store.outputs SET execution_id = gen_random_uuid() WHERE stream = 2;
           UPDATE store.output_chunks SET execution_id = gen_random_uuid() WHERE stream = 2""",
        {"output"},
        "is stored for an execution that does not exist",
    ),
    "preview of something else": (
        "UPDATE store.outputs SET preview = 'all is well' WHERE stream = 1",
        {"output"},
        "its preview is another text",
    ),
    "message edited": ("UPDATE store.messages SET body = 'fine'", {"message"}, "is not what"),
    "message gone": ("DELETE FROM store.messages", {"message"}, "is missing"),
    "message made up": (
        "INSERT INTO store.messages SELECT execution_id, 1, salt, body FROM store.messages",
        {"message"},
        "of event 1: none is named",
    ),
    "configuration edited": (
        "UPDATE store.configurations SET body = body || ' '",
        {"configuration"},
        "is not what its digest says",
    ),
    "configuration gone": (
        "DELETE FROM store.configurations",
        {"configuration"},
        "is missing, and named by",
    ),
    "missing in the queue": ("DELETE FROM store.pending", {"queue"}, "not in the queue"),
    "left in the queue": (
        """INSERT INTO store.pending SELECT id, NULL, configuration FROM read.executions_1
           WHERE status = 'success'""",
        {"queue"},
        "is in the queue, and not pending",
    ),
    "pin lost": (
        "UPDATE store.pending SET pinned_agent_id = NULL WHERE pinned_agent_id IS NOT NULL",
        {"queue"},
        "is queued with another pin",
    ),
    "labels forgotten": (
        "UPDATE store.pending SET labels = NULL WHERE labels IS NOT NULL",
        {"queue"},
        "is queued with another pin",
    ),
    "lease of another claim": (
        "UPDATE store.leases SET fence = gen_random_uuid()",
        {"lease"},
        "its lease is not that of its claim",
    ),
    "lease of another agent": (
        "UPDATE store.leases SET agent_id = 'other'",
        {"lease"},
        "its lease is held by other",
    ),
    "lease gone": ("DELETE FROM store.leases", {"lease"}, "runs without a lease"),
    "deadline gone": ("UPDATE store.leases SET deadline_at = NULL", {"lease"}, "its deadline"),
    "cancel forgotten": ("DELETE FROM store.cancels", {"lease"}, "without a deadline"),
    "answer of nobody": (
        "UPDATE store.idempotency SET execution_id = gen_random_uuid()",
        {"idempotency"},
        "which does not exist",
    ),
    "answer of another": (
        "UPDATE store.idempotency SET answer = '{}' WHERE location IS NOT NULL",
        {"idempotency"},
        "answers another execution than its location",
    ),
    "one execution for two claims": (
        """INSERT INTO store.idempotency SELECT token_id, key || '2', fingerprint, execution_id,
           status, location, answer, recorded_at FROM store.idempotency WHERE key LIKE 'Claim-Id%'
        """,
        {"idempotency"},
        "and 1 more claims got the execution",
    ),
    "expected since nowhere": (
        "UPDATE store.expected_jobs SET since = gen_random_uuid()",
        {"expected job"},
        "which is no execution of it",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_named(damaged: tuple[Database, Connection[Any]], damage: str) -> None:
    """Whatever a superuser edits, removes, adds or swaps is found, under the kind that it is."""
    database, connection = damaged
    statement, kinds, expected = DAMAGES[damage]

    connection.execute(statement.encode())

    findings = found(database)
    assert set(findings.counts) == kinds, lines(findings)
    assert any(expected in line for line in lines(findings)), lines(findings)


def _rehash(connection: Connection[Any], ledger: Database, first: int, last: int) -> None:
    """Compute the leaf hashes of some positions anew, as whoever may change everything can."""
    with connection.cursor(row_factory=class_row(EventRow)) as cursor:
        rows = cursor.execute("SELECT * FROM ledger.events ORDER BY position").fetchall()
    before = chain.beginning(ledger.ledger_id).leaf_hash
    for row in rows:
        if first <= row.position <= last:
            before = chain.leaf_hash(row, before)
            connection.execute(
                "UPDATE ledger.events SET leaf_hash = %b WHERE position = %s",
                [before, row.position],
            )
        else:
            before = row.leaf_hash


def test_a_hash_that_was_computed_anew_breaks_the_next(
    damaged: tuple[Database, Connection[Any]],
) -> None:
    """Given an event was edited together with its own hash, the hash after it does not fit."""
    database, connection = damaged
    connection.execute("UPDATE ledger.events SET actor = 'nobody' WHERE position = 4")

    _rehash(connection, database, 4, 4)

    assert lines(found(database)) == [
        "leaf hash: 5: is not that of the event and the ones before it"
    ]


def test_a_chain_that_was_computed_anew_does_not_fit_what_was_seen(
    damaged: tuple[Database, Connection[Any]], tmp_path: Path
) -> None:
    """Given all hashes were computed anew, only the head that was remembered outside tells."""
    database, connection = damaged
    seen = tmp_path / "head"
    head = _remember(connection, database, seen)
    connection.execute("UPDATE ledger.events SET actor = 'nobody' WHERE position = 4")

    _rehash(connection, database, 4, 10_000)

    assert lines(found(database)) == []
    assert lines(found(database, seen)) == [
        f"witness: {head}: is another event than the one that was seen here"
    ]


def test_a_log_that_was_cut_does_not_reach_what_was_seen(
    damaged: tuple[Database, Connection[Any]], tmp_path: Path
) -> None:
    """Given the last event was removed without a trace, the head that was remembered tells."""
    database, connection = damaged
    seen = tmp_path / "head"
    head = _remember(connection, database, seen)

    connection.execute("DELETE FROM ledger.events WHERE position = %s", [head])

    expected = f"witness: {head}: was seen, and the log ends at {head - 1}"
    assert expected in lines(found(database, seen))


def test_a_table_that_is_not_there_is_a_finding(
    damaged: tuple[Database, Connection[Any]],
) -> None:
    """Given a read model's table was dropped, verify says so and checks the rest."""
    database, connection = damaged
    connection.execute("DROP TABLE read.executions_1")

    assert lines(found(database)) == ["read model: executions_1: the table is missing"]


def test_findings_are_counted_and_the_first_are_shown() -> None:
    """However much is wrong, a kind shows its first findings and the number of all."""
    findings, more = Findings(), Findings()
    for number in range(SHOWN_MAX + 5):
        findings.add("leaf hash", number, "is wrong")
        more.add("leaf hash", number, "is wrong")

    findings.join(more)

    assert findings.counts == {"leaf hash": 2 * (SHOWN_MAX + 5)}
    assert len(findings.shown["leaf hash"]) == SHOWN_MAX


def test_the_chain_is_judged_by_the_documented_layout() -> None:
    """The bytes that verify hashes are those that `chain.leaf_hash` describes."""
    assert verify_chain._hashed.format == chain._FIXED.format
    assert hashlib.sha256().digest_size == 32
