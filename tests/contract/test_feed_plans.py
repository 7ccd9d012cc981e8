"""What a page of the ledger costs: pages touched, wherever it begins. No planner switches."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from msgspec import json

from projections import feed
from projections.feed import FeedFilter
from tests.support.postgres import Database, Postgres

EVENTS = 60_000
LIMIT = 100
_SEED = """
INSERT INTO ledger.events
SELECT n, n, now(), now(), %(ledger)s, execution, execution, execution, 1 + (n - 1) %% 3, 1,
       CASE n %% 3 WHEN 1 THEN 'execution.created' WHEN 2 THEN 'execution.started'
            ELSE 'execution.completed' END,
       'operator:tok_1', '{}', sha256(n::text::bytea)
FROM (SELECT n, lpad(to_hex((n - 1) / 3), 32, '0')::uuid AS execution
      FROM generate_series(1, %(events)s) AS n) AS made;
INSERT INTO read.executions_1 (id, position, version, attempt, status, triggered_by, job_id,
                               configuration, root_id)
SELECT lpad(to_hex(n), 32, '0')::uuid, 3 * n + 3, 3, 1, 'success', 'manual',
       CASE n %% 2000 WHEN 0 THEN 'rare' ELSE 'busy' END, '\\x00', lpad(to_hex(n), 32, '0')::uuid
FROM generate_series(0, %(events)s / 3 - 1) AS n;
ANALYZE ledger.events;
ANALYZE read.executions_1;
"""


@pytest.fixture(scope="module")
def seeded(postgres: Postgres) -> Iterator[Database]:
    """A log in which one job has nearly everything, and another ten executions."""
    made = postgres.fresh()
    with made.as_owner() as connection:
        seed = _SEED.replace("%(ledger)s", f"'{made.ledger_id}'").replace("%(events)s", str(EVENTS))
        connection.execute(seed.replace("%%", "%").encode())
    yield made
    postgres.drop(made)


def pages(
    database: Database, chosen: FeedFilter, streams: list[UUID] | None, after: int, upto: int
) -> int:
    """The pages that one page of the ledger touches."""
    statement, parameters = feed._statement(chosen, streams, after, upto, LIMIT)
    with database.as_server() as connection:
        connection.execute("SET plan_cache_mode = force_custom_plan")
        row: Any = connection.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}".encode(), parameters
        ).fetchone()
    plan = (row[0] if isinstance(row[0], list) else json.decode(row[0]))[0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


@pytest.mark.parametrize("after", [0, 30_000, EVENTS - 50])
def test_a_page_without_filters_is_a_range(seeded: Database, after: int) -> None:
    """A few pages of the log, and a look-up of the job for each event, wherever it begins."""
    assert pages(seeded, feed.EVERYTHING, None, after, after + LIMIT) <= 6 * LIMIT


def test_executions_of_a_rare_job_are_found_directly(seeded: Database) -> None:
    """A few pages for each execution, however long the log is; from its beginning on."""
    streams = [UUID(int=number) for number in range(0, EVENTS // 3, 2000)]
    rare = FeedFilter(job_id=("rare",))
    assert pages(seeded, rare, streams, 0, EVENTS) <= 12 * 3 * len(streams)
    typed = FeedFilter(type=("execution.completed",), execution_id=tuple(streams[:1]))
    assert pages(seeded, typed, streams[:1], 0, EVENTS) <= 30


def test_a_thousand_executions_are_found_directly_too(seeded: Database) -> None:
    """The planner must not walk through the whole log instead, since the page is small."""
    streams = [UUID(int=number) for number in range(10_000, 10_000 + feed.STREAMS_MAX)]
    found = pages(seeded, FeedFilter(job_id=("busy",)), streams, 0, EVENTS)
    assert found <= 8 * 3 * len(streams)


@pytest.mark.parametrize(
    "chosen", [FeedFilter(type=("job.created",)), FeedFilter(job_id=("nobody",))]
)
def test_what_is_not_there_costs_no_more_than_a_window(
    seeded: Database, chosen: FeedFilter
) -> None:
    """A window of the log, and for jobs a look-up of each event's: not the whole log."""
    found = pages(seeded, chosen, None, 20_000, 20_000 + feed.WINDOW)
    assert found <= 4 * feed.WINDOW
