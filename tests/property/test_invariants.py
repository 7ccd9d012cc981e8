"""The function that checks ledgers finds what is wrong with them: it is tested on damaged ones."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection

from tests.support import invariants
from tests.support.ledgers import SECRET
from tests.support.lives import live
from tests.support.postgres import Database, Postgres


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


def test_a_whole_ledger_passes(lived: Database) -> None:
    """Of a ledger that nobody damaged nothing is said, and its secrets stand nowhere in it."""
    assert invariants.differences(lived.owner, secrets=[SECRET]) == []


DAMAGES = {
    "payload edited": (
        """UPDATE ledger.events SET payload = convert_to(replace(convert_from(payload, 'UTF8'),
           '"exit_code":3', '"exit_code":0'), 'UTF8')""",
        "the leaf hash is not that of the event",
    ),
    "payload cut off": (
        "UPDATE ledger.events SET payload = substr(payload, 1, 20) WHERE position = 2",
        "cannot be read",
    ),
    "occurred_at moved": (
        "UPDATE ledger.events SET occurred_at = occurred_at - interval '1 us' WHERE position = 2",
        "position 2: the leaf hash",
    ),
    "actor changed": (
        "UPDATE ledger.events SET actor = 'nobody' WHERE position = 4",
        "position 4: the leaf hash",
    ),
    "leaf hash flipped": (
        """UPDATE ledger.events SET leaf_hash = set_bit(leaf_hash, 0, 1 - get_bit(leaf_hash, 0))
           WHERE position = 3""",
        "position 4: the leaf hash",
    ),
    "event deleted": ("DELETE FROM ledger.events WHERE position = 2", "positions have a hole"),
    "last event deleted": (
        "DELETE FROM ledger.events WHERE position = (SELECT max(position) FROM ledger.events)",
        "the projection stands at",
    ),
    "first event deleted": (
        "DELETE FROM ledger.events WHERE position = 1",
        "started at version 2 when nothing",
    ),
    "two events swapped": (
        """UPDATE ledger.events SET position = 1002 WHERE position = 2;
           UPDATE ledger.events SET position = 2 WHERE position = 3;
           UPDATE ledger.events SET position = 3 WHERE position = 1002""",
        "its versions are not in order of position",
    ),
    "another ledger's event": (
        "UPDATE ledger.events SET ledger_id = gen_random_uuid() WHERE position = 5",
        "position 5: belongs to another ledger",
    ),
    "recorded too early": (
        "UPDATE ledger.events SET recorded_at = recorded_at - interval '1 day' WHERE position = 9",
        "position 9: recorded before",
    ),
    "commit number lowered": (
        "UPDATE ledger.events SET commit_number = 1 WHERE position = 9",
        "position 9: commit 1 follows",
    ),
    "second claim": (
        """INSERT INTO ledger.events SELECT (SELECT max(position) + 1 FROM ledger.events),
            commit_number, occurred_at, recorded_at, ledger_id, stream_id, gen_random_uuid(),
            correlation_id, 4, schema_version, type, actor, payload, leaf_hash
            FROM ledger.events WHERE position = 2""",
        "was claimed 2 times",
    ),
    "second end": (
        """INSERT INTO ledger.events SELECT (SELECT max(position) + 1 FROM ledger.events),
            commit_number, occurred_at, recorded_at, ledger_id, stream_id, gen_random_uuid(),
            correlation_id, 4, schema_version, type, actor, payload, leaf_hash
            FROM ledger.events WHERE position = 3""",
        "has more than one final event",
    ),
    "retry of a success": (
        """UPDATE ledger.events e SET stream_id = s.stream_id, version = 4 FROM ledger.events s
           WHERE e.type = 'execution.retried' AND e.version = 5 AND s.position = 3""",
        "retried at version 4 when told (success)",
    ),
    "retry unknown to its original": (
        "DELETE FROM ledger.events WHERE type = 'execution.retried' AND version = 5",
        "is a retry that its original does not know of",
    ),
    "row changed": (
        "UPDATE read.executions_1 SET status = 'success' WHERE status = 'failed'",
        "status is 'success'",
    ),
    "total changed": (
        "UPDATE read.totals_1 SET failed_manual = failed_manual - 1 WHERE job_id = ''",
        "totals of job ''",
    ),
    "total removed": (
        "DELETE FROM read.totals_1 WHERE job_id = 'expected'",
        "totals of job 'expected'",
    ),
    "statistics changed": (
        "UPDATE read.statistics_days_1 SET count = count + 1 WHERE job_id <> ''",
        "statistics_days_1 of",
    ),
    "statistics removed": (
        "DELETE FROM read.statistics_ever_1 WHERE status = 'canceled'",
        "statistics_ever_1 of",
    ),
    "row's time changed": (
        "UPDATE read.executions_1 SET started_at = started_at + interval '1 us'",
        "started_at is",
    ),
    "row removed": (
        "DELETE FROM read.executions_1 WHERE status = 'canceled'",
        "it should be in the read model",
    ),
    "row added": (
        """CREATE TEMPORARY TABLE more AS SELECT * FROM read.executions_1 LIMIT 1;
           UPDATE more SET id = gen_random_uuid();
           INSERT INTO read.executions_1 SELECT * FROM more""",
        "it should not be in the read model",
    ),
    "projection behind": (
        "UPDATE read.projections SET position = position - 1",
        "the projection stands at",
    ),
    "left in the queue": (
        """INSERT INTO store.pending SELECT stream_id, NULL, digest
           FROM store.configurations, ledger.events WHERE type = 'execution.started' LIMIT 1""",
        "is queued as",
    ),
    "labels forgotten": (
        "UPDATE store.pending SET labels = NULL WHERE labels IS NOT NULL",
        "is queued as",
    ),
    "start deadline forgotten": (
        "UPDATE store.pending SET start_by = NULL WHERE start_by IS NOT NULL",
        "is queued as",
    ),
    "expected since nowhere": (
        "UPDATE store.expected_jobs SET since = gen_random_uuid()",
        "is expected since an execution that is not its own",
    ),
    "masking forgotten": (
        "UPDATE read.executions_1 SET masked = NOT masked",
        "masked is",
    ),
    "missing in the queue": ("DELETE FROM store.pending", "is queued as None"),
    "pin lost": (
        "UPDATE store.pending SET pinned_agent_id = NULL WHERE pinned_agent_id IS NOT NULL",
        "is queued as (None",
    ),
    "lease of another claim": (
        "UPDATE store.leases SET fence = gen_random_uuid()",
        "its lease is not that of its claim",
    ),
    "lease gone": ("DELETE FROM store.leases", "runs without a lease"),
    "deadline gone": (
        "UPDATE store.leases SET deadline_at = NULL",
        "its deadline does not fit its timeout",
    ),
    "cancel forgotten": ("DELETE FROM store.cancels", "is being canceled without a deadline"),
    "answer of another": (
        "UPDATE store.idempotency SET execution_id = gen_random_uuid()",
        "which does not exist",
    ),
    "one execution for two claims": (
        """INSERT INTO store.idempotency SELECT token_id, key || '2', fingerprint, execution_id,
           status, location, answer, recorded_at FROM store.idempotency WHERE key LIKE 'Claim-Id%'
        """,
        "was the answer to 2 different claims",
    ),
    "configuration edited": (
        "UPDATE store.configurations SET body = body || ' '",
        "is not what its digest says",
    ),
    "configuration gone": ("DELETE FROM store.configurations", "its configuration is missing"),
    "message edited": ("UPDATE store.messages SET body = 'fine'", "is not what its event says"),
    "message gone": ("DELETE FROM store.messages", "is not what its event says"),
    "output byte flipped": (
        """UPDATE store.output_chunks SET bytes = set_bit(bytes, 40000, 1 - get_bit(bytes, 40000))
           WHERE stream = 1""",
        "is not what the event at 3 says",
    ),
    "output cut": (
        "UPDATE store.output_chunks SET bytes = substr(bytes, 1, 10) WHERE stream = 1",
        "should end at 10 with 10 kept bytes",
    ),
    "output gone": ("DELETE FROM store.output_chunks", "is not what the event at 3 says"),
    "preview of something else": (
        "UPDATE store.outputs SET preview = 'all is well' WHERE stream = 1",
        "its preview is another text",
    ),
    "secret in a body": (
        "UPDATE store.configurations SET body = body || 'swordfish-4711'",
        "store.configurations.body: holds a secret",
    ),
    "secret in a text": (
        "UPDATE read.executions_1 SET agent_id = 'swordfish-4711'",
        "read.executions_1.agent_id: holds a secret",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_found(damaged: tuple[Database, Connection[Any]], damage: str) -> None:
    """Whatever is edited, removed, added or swapped in the database, the function says so."""
    database, connection = damaged
    statement, expected = DAMAGES[damage]

    connection.execute(statement.encode())

    found = invariants.differences(database.owner, secrets=[SECRET])
    assert any(expected in line for line in found), found
    with pytest.raises(invariants.Broken, match="the ledger is broken"):
        invariants.check(database.owner, secrets=[SECRET])
