"""A ledger that was written before totals and statistics were counted gets them when upgraded."""

import pytest

from store import database as schema
from tests.support import invariants
from tests.support.ledgers import Desk, running_ledger
from tests.support.postgres import SERVER_PASSWORD, Database

_UNDONE = """
DROP TABLE read.totals_1, read.statistics_hours_1, read.statistics_days_1, read.statistics_ever_1;
DROP INDEX read.executions_1_by_job_and_status, read.executions_1_by_status_and_trigger;
CREATE INDEX executions_1_by_status ON read.executions_1 (status, id);
CREATE INDEX executions_1_of_retries ON read.executions_1 (id) WHERE triggered_by = 'retry';
DELETE FROM read.projections WHERE name IN ('totals', 'statistics');
DELETE FROM migrations.applied WHERE number = 5;
"""


@pytest.mark.anyio
async def test_an_upgrade_counts_what_is_there(database: Database) -> None:
    """What the migration counts is what would have been counted as it happened; then it goes on."""
    async with running_ledger(database) as ledger:
        desk = Desk(ledger)
        for number in range(8):
            await desk.ended(exit_code=number % 2, job_id="ab"[number % 3 == 0])
        failed = await desk.ended(exit_code=3)
        await desk.do(desk.retry(failed.id))
        state = await desk.begun(triggered_by="scheduled")
        canceled = await desk.do(desk.create())
        assert canceled.execution is not None
        await desk.do(desk.cancel(canceled.execution.id))
    with database.as_owner() as connection:
        connection.execute(_UNDONE.encode())

    schema.migrate(database.owner, database.keys, password=SERVER_PASSWORD)

    invariants.check(database.owner)
    async with running_ledger(database) as ledger:
        await Desk(ledger).do(Desk(ledger).complete(state.id, state.fence))
    invariants.check(database.owner)
