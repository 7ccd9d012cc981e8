"""A log that is worked through in halves, by two processes, is what it is as a whole."""

from typing import Any, Final

import pytest
from psycopg import Connection
from psycopg.sql import SQL, Identifier

from projections.read_models import READ_MODELS
from projections.rebuild import rebuild
from store.log_streams import Range
from tests.property.test_verify import damaged, found, lines, lived
from tests.support.postgres import Database

__all__ = ["damaged", "lived"]

# What is done to a first half; LAST is its last position, FIRST the one after it.
_DAMAGES: Final = {
    "its last event is edited": "UPDATE ledger.events SET actor = 'me' WHERE position = LAST",
    "its last event is gone": "DELETE FROM ledger.events WHERE position = LAST",
    "its last hash is another": """
        UPDATE ledger.events SET leaf_hash = sha256(leaf_hash) WHERE position = LAST""",
    "its last commit is another": """
        UPDATE ledger.events SET commit_number = 1 WHERE position = LAST""",
    "its last time is another": """
        UPDATE ledger.events SET recorded_at = recorded_at + interval '1 day'
        WHERE position = LAST""",
    "it is gone": "DELETE FROM ledger.events WHERE position <= LAST",
    "the next event is gone": "DELETE FROM ledger.events WHERE position = FIRST",
    "the other half is gone": "DELETE FROM ledger.events WHERE position > FIRST",
    "there is nothing at all": "DELETE FROM ledger.events",
    "all counts are wrong": """
        UPDATE read.totals_1 SET success_manual = 77;
        UPDATE read.statistics_hours_1 SET count = count + 1;
        DELETE FROM read.statistics_ever_1""",
    "its rows are others": "UPDATE read.executions_1 SET signal = 9, attempt = 3",
    "bodies belong to nobody": """
        UPDATE store.outputs SET execution_id = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
        WHERE stream = 2 AND erased_at IS NULL;
        UPDATE store.output_chunks SET execution_id = '00000000-0000-0000-0000-000000000000'""",
}


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small logs are shared out, too."""
    monkeypatch.setattr("projections.workers.ALONE_MAX", 0)
    monkeypatch.setattr("projections.filling.ALONE_MAX", 0)
    monkeypatch.setattr("projections.rebuild._cores", lambda _: 2)


@pytest.mark.parametrize("damage", _DAMAGES)
def test_halves_find_what_the_whole_finds(
    damaged: tuple[Database, Connection[Any]], damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is done to a half, or where the two meet, is said as if nobody had parted them."""
    database, connection = damaged
    _do(connection, _DAMAGES[damage])
    halves = found(database)
    monkeypatch.setattr("projections.verify.halves", lambda *_: [Range()])

    whole = found(database)

    assert sorted(lines(halves)) == sorted(lines(whole)) != []
    assert (halves.counts, halves.erased) == (whole.counts, whole.erased)


@pytest.mark.usefixtures("two_processes")
def test_two_processes_find_nothing_in_a_whole_ledger(lived: Database) -> None:
    """Of a ledger that nobody damaged nothing is said."""
    assert lines(found(lived)) == []


def test_two_processes_find_what_one_finds(
    damaged: tuple[Database, Connection[Any]], request: pytest.FixtureRequest
) -> None:
    """What processes of their own find reaches the one that asked."""
    database, connection = damaged
    for statement in _DAMAGES.values():
        if "DELETE FROM ledger" not in statement:
            _do(connection, statement)
    one = found(database)
    request.getfixturevalue("two_processes")

    two = found(database)

    assert sorted(lines(two)) == sorted(lines(one)) != []
    assert two.counts == one.counts


@pytest.mark.usefixtures("two_processes")
def test_two_processes_rebuild_what_was_there(
    damaged: tuple[Database, Connection[Any]],
) -> None:
    """Each table of the read models has the rows again that it had."""
    database, connection = damaged
    tables = [table for model in READ_MODELS for table in model.tables]
    before = _rows(connection, tables)
    for table in tables:
        connection.execute(SQL("DELETE FROM {}").format(Identifier("read", table)))

    done = rebuild(database.owner, READ_MODELS, lambda *_: None)

    assert _rows(connection, tables) == before
    assert done.events == done.position


def _do(connection: Connection[Any], damage: str) -> None:
    middle = "(SELECT max(position) / 2 FROM ledger.events)"
    statement = damage.replace("LAST", middle).replace("FIRST", f"{middle} + 1")
    connection.execute(statement.encode())


def _rows(connection: Connection[Any], tables: list[str]) -> dict[str, list[Any]]:
    """All rows of some tables."""
    return {
        table: connection.execute(
            SQL("SELECT * FROM {} AS t ORDER BY t").format(Identifier("read", table))
        ).fetchall()
        for table in tables
    }
