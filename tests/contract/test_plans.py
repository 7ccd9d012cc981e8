"""What a list costs: pages touched, on a table with very uneven data. No planner switches."""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import json

from projections import queries
from projections.queries import Filter
from tests.support.postgres import Database, Postgres

ROWS = 60_000
LIMIT = 50
# Joins of the texts of a page come on top: three look-ups of about three pages for each row.
PAGES_MAX = 12 * (LIMIT + 1)

_SEED = """
INSERT INTO read.executions_1 (id, position, version, attempt, status, triggered_by, job_id,
                               configuration, root_id)
SELECT id, n, 3, 1,
       CASE WHEN n %% 10000 = 0 THEN 'timeout' WHEN n %% 20 = 0 THEN 'failed' ELSE 'success' END,
       CASE WHEN n %% 5000 = 0 THEN 'retry' WHEN n %% 10 = 0 THEN 'manual' ELSE 'scheduled' END,
       CASE WHEN n %% 10 = 0 THEN 'job-' || n %% 500 ELSE 'busy' END,
       '\\x00', id
FROM (SELECT n, (lpad(to_hex(1700000000000 + n * 1000), 12, '0') || '7000' || '8000'
                 || lpad(to_hex(n), 12, '0'))::uuid AS id
      FROM generate_series(1, %s) AS n) AS made
"""


@pytest.fixture(scope="module")
def seeded(postgres: Postgres) -> Iterator[Database]:
    """A read model with one job that has nine tenths of the rows, and a few rare timeouts."""
    made = postgres.fresh()
    with made.as_owner() as connection:
        connection.execute(_SEED.encode(), [ROWS])
        connection.execute("ANALYZE read.executions_1")
    yield made
    postgres.drop(made)


def pages(database: Database, chosen: Filter) -> int:
    """The pages that a list with this filter touches."""
    conditions, parameters = queries._conditions(chosen)
    statement = queries.listing(conditions, offset="%(offset)s")
    parameters |= {"limit": LIMIT + 1, "offset": 0}
    with database.as_server() as connection:
        connection.execute("SET plan_cache_mode = force_custom_plan")
        row: Any = connection.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}".encode(), parameters
        ).fetchone()
    plan = (row[0] if isinstance(row[0], list) else json.decode(row[0]))[0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


@pytest.mark.parametrize(
    "chosen",
    [
        Filter(),
        Filter(job_id=("busy",)),
        Filter(job_id=("job-10",)),
        Filter(status=("success",)),
        Filter(status=("failed",)),
        Filter(status=("timeout",)),
        Filter(triggered_by=("scheduled",)),
        Filter(triggered_by=("retry",)),
    ],
    ids=lambda chosen: json.encode(chosen).decode(),
)
def test_a_common_list_touches_few_pages(seeded: Database, chosen: Filter) -> None:
    """Given uneven data, a list with one filter touches a small constant of pages a row."""
    assert pages(seeded, chosen) <= PAGES_MAX


def test_the_measure_can_fail(seeded: Database) -> None:
    """Given no index for the order, the same list would touch more pages than allowed."""
    with seeded.as_owner() as connection, connection.transaction(force_rollback=True):
        row: Any = connection.execute(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM read.executions_1"
            " WHERE timeout_seconds IS NULL ORDER BY started_at LIMIT 51"
        ).fetchone()
    assert row[0][0]["Plan"]["Shared Hit Blocks"] > PAGES_MAX
