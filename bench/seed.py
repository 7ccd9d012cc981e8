"""A ledger's read side, filled with as many executions as asked for: a year of uneven cron jobs.

Read models, configurations and output; no events, which reads do not look at. A server on it can
list and record, but what was seeded has no history.

Run: python -m bench.seed --home FOLDER [--count 100000]   (a folder that `serve` can be started on)
"""

import argparse
import random
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import Connection

from api import bootstrap
from api.settings import load
from store.configurations import Job, seal
from store.keys import Keys

JOBS: Final = 200
_MIGRATION: Final = "0005_reads.sql"
_TABLES: Final = (
    *("read.executions_1", "read.totals_1", "read.statistics_hours_1", "read.statistics_days_1"),
    *("read.statistics_ever_1", "store.outputs", "store.output_chunks", "store.configurations"),
)


def job_id(number: int) -> str:
    """Return the name of a job; 0 runs most often, the last one hardly ever."""
    return f"job-{number:03}"


def seed(conninfo: str, keys: Keys, count: int) -> None:
    """Fill an empty ledger, as its owner."""
    statements = resources.files("bench").joinpath("seed.sql").read_text("utf-8")
    with psycopg.connect(conninfo, autocommit=True) as connection:
        with connection.transaction():
            connection.execute(
                "SET LOCAL statement_timeout = 0; SET LOCAL synchronous_commit = off"
            )
            _make_jobs(connection, keys)
            indexes = list(_dropped_indexes(connection))
            connection.execute(statements.format(count=count, jobs=JOBS).encode())
            for definition in indexes:
                connection.execute(definition.encode())
            for statement in _fillings():
                connection.execute(statement.encode())
        for table in _TABLES:
            connection.execute(f"VACUUM ANALYZE {table}".encode())


def _make_jobs(connection: Connection[Any], keys: Keys) -> None:
    connection.execute("CREATE TEMPORARY TABLE seeded_jobs (job int, job_id text, digest bytea)")
    draw = random.Random(42)
    for number in range(JOBS):
        command = f"/usr/local/bin/task --number {number} --speed {draw.randrange(100)}"
        stored, _ = seal(Job(job_id(number), f"Task {number}", command, 3600), keys)
        digest = bytes.fromhex(stored.digest)
        connection.execute(
            "INSERT INTO store.configurations VALUES (%s, %b, %b)",
            [digest, stored.salt, stored.body],
        )
        row = [number, job_id(number), digest]
        connection.execute("INSERT INTO seeded_jobs VALUES (%s, %s, %s)", row)


def _dropped_indexes(connection: Connection[Any]) -> Iterator[str]:
    """Drop the indexes that are quicker to make at the end, and yield how to make them."""
    found = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes"
        " WHERE tablename = 'executions_1' AND indexname NOT LIKE '%pkey'"
    )
    for name, definition in found.fetchall():
        connection.execute(f"DROP INDEX read.{name}".encode())
        yield definition


def _fillings() -> Iterator[str]:
    """Yield the statements with which the migration fills what is counted from executions."""
    text = resources.files("store").joinpath("migrations", _MIGRATION).read_text("utf-8")
    for statement in text.split(";\n"):
        at = statement.find("INSERT INTO read.")
        if at >= 0 and "INSERT INTO read.projections" not in statement:
            yield statement[at:]


def fill(home: Path, count: int) -> None:
    """Seed the ledger of a home that no server runs on.

    Raises:
        RuntimeError: the settings name a database that is not the embedded one.
    """
    settings = load(home)
    with bootstrap.embedded(settings) as server:
        if server is None:
            raise RuntimeError("seeding needs an embedded database, not CRONLEDGER_DATABASE_URL")
        keys = bootstrap.prepare(settings, server).keys
        seed(server.conninfo(bootstrap.DATABASE), keys, count)


def main() -> None:
    """Fill the ledger of a home."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100_000)
    args = parser.parse_args()
    began = time.perf_counter()
    fill(args.home, args.count)
    print(f"{args.count:,} executions in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
