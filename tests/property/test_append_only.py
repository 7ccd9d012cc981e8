"""History can be added to, and nothing else: neither by the server's role nor by its owner."""

import asyncio
from typing import Final

import psycopg
import pytest

from tests.support import invariants
from tests.support.ledgers import Desk, running_ledger
from tests.support.postgres import Database, Postgres

CHANGES: Final = {
    "update": "UPDATE ledger.events SET actor = 'nobody'",
    "update of one column": "UPDATE ledger.events SET payload = payload WHERE position = 1",
    "update of nothing": "UPDATE ledger.events SET actor = actor WHERE false",
    "delete": "DELETE FROM ledger.events WHERE position = 2",
    "truncate": "TRUNCATE ledger.events",
    "upsert": """INSERT INTO ledger.events SELECT * FROM ledger.events LIMIT 1
                 ON CONFLICT (position) DO UPDATE SET actor = 'nobody'""",
    "merge": """MERGE INTO ledger.events e USING (SELECT 1 AS n) s ON e.position = s.n
                WHEN MATCHED THEN DELETE""",
    "lock": "SELECT 1 FROM ledger.events FOR UPDATE",
    "drop": "DROP TABLE ledger.events",
    "drop of the schema": "DROP SCHEMA ledger CASCADE",
    "column": "ALTER TABLE ledger.events DROP COLUMN actor",
    "triggers off": "ALTER TABLE ledger.events DISABLE TRIGGER ALL",
    "trigger dropped": "DROP TRIGGER events_are_immutable ON ledger.events",
    "trigger's function": """CREATE OR REPLACE FUNCTION ledger.refuse_change() RETURNS trigger
                             LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'""",
    "rule": "CREATE RULE quiet AS ON INSERT TO ledger.events DO INSTEAD NOTHING",
    "replica mode": "SET session_replication_role = replica",
    "ownership": "ALTER TABLE ledger.events OWNER TO cronledger_server",
    "another role": "SET ROLE cronledger_owner",
    "more rights": "ALTER ROLE cronledger_server SUPERUSER",
    "identity": "UPDATE ledger.identity SET ledger_id = gen_random_uuid()",
    "second identity": "INSERT INTO ledger.identity VALUES (false, gen_random_uuid(), '')",
    "new table in the ledger": "CREATE TABLE ledger.more ()",
    "migrations": "UPDATE migrations.applied SET sha256 = ''",
}


@pytest.fixture(scope="module")
def lived(postgres: Postgres) -> Database:
    """A ledger with some history."""
    made = postgres.fresh()
    asyncio.run(_live(made))
    return made


async def _live(made: Database) -> None:
    async with running_ledger(made) as ledger:
        await Desk(ledger).ended()


def _history(database: Database) -> list[tuple[object, ...]]:
    with database.as_owner() as connection:
        return connection.execute("SELECT * FROM ledger.events ORDER BY position").fetchall()


@pytest.mark.parametrize("change", CHANGES)
def test_the_servers_role_may_not_change_history(lived: Database, change: str) -> None:
    """Whatever a server's login tries on history, the database refuses for want of rights."""
    before = _history(lived)

    with lived.as_server() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(CHANGES[change].encode())

    assert _history(lived) == before


def test_rights_granted_to_oneself_change_nothing(lived: Database) -> None:
    """A grant by one who owns nothing grants nothing; the change is refused."""
    with lived.as_server() as connection:
        connection.execute("GRANT ALL ON ledger.events TO cronledger_server")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE ledger.events SET actor = 'nobody'")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.events SET actor = 'nobody'",
        "DELETE FROM ledger.events",
        "TRUNCATE ledger.events",
        "TRUNCATE ledger.events, ledger.identity",
    ],
)
@pytest.mark.parametrize("mode", ["origin", "replica", "local"])
def test_the_owner_is_stopped_by_the_triggers(lived: Database, statement: str, mode: str) -> None:
    """Even the owner, a superuser, is refused unless it takes the triggers away first."""
    before = _history(lived)

    with lived.as_owner() as connection:
        connection.execute(f"SET session_replication_role = {mode}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            connection.execute(statement.encode())

    assert _history(lived) == before
    invariants.check(lived.owner)


def test_an_event_cannot_be_added_twice(lived: Database) -> None:
    """Neither a position nor a version of a stream can be taken a second time."""
    again = (
        "INSERT INTO ledger.events SELECT {position}, commit_number, occurred_at, recorded_at,"
        " ledger_id, stream_id, command_id, correlation_id, version, schema_version, type, actor,"
        " payload, leaf_hash FROM ledger.events WHERE position = 1"
    )

    with lived.as_server() as connection:
        for position in ("position", "position + 100"):
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.execute(again.format(position=position).encode())
