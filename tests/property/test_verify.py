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
from tests.support.damages import DAMAGES
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
