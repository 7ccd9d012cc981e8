"""The pending queue: what a claim reads, and what it passes over."""

import asyncio
from collections import Counter
from typing import Any

import psycopg
import pytest
from msgspec import json

from api.background import Sweeper
from api.ledger import Ledger
from store import sql
from store.roundtrip import _PLANNING
from tests.support.ledgers import AGENT, Desk, running_ledger
from tests.support.postgres import Database, Postgres

pytestmark = pytest.mark.anyio
ROWS = 20_000
# A look-up in an index of this size touches three or four pages, and each row its own.
PAGES_A_LOOKUP = 5

_SEED = """
INSERT INTO store.pending (execution_id, pinned_agent_id, configuration, labels)
SELECT (lpad(to_hex(n), 12, '0') || '7000' || '8000' || lpad(to_hex(n), 12, '0'))::uuid, NULL,
       '\\x00', ARRAY[CASE n %% 4 WHEN 0 THEN 'arm' WHEN 1 THEN 'gpu' WHEN 2 THEN 'tpu'
                      ELSE 'zfs' END]
FROM generate_series(1, %s) AS n
"""


async def test_a_claim_after_the_deadline_gets_nothing(database: Database) -> None:
    """Before the sweep came by it is passed over; then it is over, and what waits is not."""
    async with running_ledger(database, sweep_seconds=3600) as ledger:
        desk, sweeper = Desk(ledger), Sweeper(ledger)
        await sweeper.sweep()
        late = [
            (await desk.do(desk.create(start_deadline_seconds=60, **fields))).execution
            for fields in ({}, {"pinned_agent_id": AGENT}, {"labels": ("gpu",)})
        ]
        patient = (await desk.do(desk.create(start_deadline_seconds=60))).execution
        assert patient is not None
        with psycopg.connect(database.owner, autocommit=True) as owner:
            owner.execute(
                "UPDATE store.pending SET start_by = now() - interval '1 second'"
                " WHERE execution_id <> %s",
                [patient.id],
            )
        # when
        first = await desk.do(desk.claim(AGENT, "gpu"))
        second = await desk.do(desk.claim(AGENT, "gpu"))
        await sweeper.sweep()
        # then
        assert first.execution is not None
        assert (first.execution.id, second.execution) == (patient.id, None)
        for one in late:
            assert one is not None
            assert (await desk.get(one.id)).failure_reason == "not_started"
        assert (await desk.get(patient.id)).status == "running"


async def test_many_claims_at_once_get_all_that_they_may(ledger: Ledger) -> None:
    """Agents with different labels in one batch: none goes without while there is work for it."""
    desk = Desk(ledger)
    for number in range(40):
        labels = ((), ("gpu",), ("gpu", "ssd"), ("ssd",))[number % 4]
        await desk.do(desk.create(labels=labels))
    claims = [desk.claim("bare") for _ in range(10)]
    claims += [desk.claim(f"all-{n}", "gpu", "ssd") for n in range(20)]
    claims += [desk.claim(f"gpu-{n}", "gpu") for n in range(10)]
    # when
    at_once = await asyncio.gather(*(desk.do(work) for work in claims))
    in_turn = [await desk.do(desk.claim("last", "gpu", "ssd")) for _ in range(8)]
    # then
    got = [one.execution.labels if one.execution else None for one in (*at_once, *in_turn)]
    assert got[:10] == [()] * 10
    # Twenty of the thirty with labels, lowest id first; then what is left that asks for no more.
    assert Counter(got[10:30]) == {("gpu",): 7, ("gpu", "ssd"): 7, ("ssd",): 6}
    assert Counter(got[30:40]) == {("gpu",): 3, None: 7}
    assert Counter(got[40:]) == {("gpu", "ssd"): 3, ("ssd",): 4, None: 1}


def _pages(database: Database, statement: str, parameters: list[Any]) -> int:
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute(_PLANNING.encode())
        with psycopg.RawCursor(connection) as cursor:
            row: Any = cursor.execute(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}".encode(), parameters
            ).fetchone()
    plan = (row[0] if isinstance(row[0], list) else json.decode(row[0]))[0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def test_labelled_work_costs_a_claim_by_its_sets(postgres: Postgres) -> None:
    """Behind thousands that ask for other labels, a claim touches a few pages for each set."""
    database = postgres.fresh()
    with database.as_owner() as owner:
        owner.execute(_SEED.encode(), [ROWS])
    for labels, rows in (["gpu"], 9), (["none"], 0), ([], 0):
        claiming = json.encode([{"pin": pin, "labels": labels} for pin in ("", "agent")]).decode()
        found = _pages(database, sql.named("read_labelled"), [claiming, "9"])
        # Four sets wait, and the agent's own pin is looked up once.
        assert found <= (4 + 1 + 1 + 1 + rows) * PAGES_A_LOOKUP
    unlabelled = _pages(database, sql.named("read_candidates"), ["9", "{agent}", "{9}"])
    assert unlabelled <= 2 * PAGES_A_LOOKUP
    postgres.drop(database)
