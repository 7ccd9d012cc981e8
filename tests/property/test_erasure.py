"""No configuration goes that a job runs with or an execution waits with, as of the commit."""

import asyncio
from datetime import timedelta

import pytest

from domain import errors
from domain.execution import Execution
from projections import erasing
from store.work import Done
from tests.support.postgres import Database
from tests.support.timekeeping import START, TimeServer, Timetable

pytestmark = pytest.mark.anyio


async def _former(table: Timetable) -> Execution:
    """An execution that has ended, of a job that has run something else since."""
    await table.define("j", "0 * * * *", command="former")
    run = await table.run("j")
    await table.start()
    await table.end(run.id)
    await table.define("j", "0 * * * *", command="present")
    return run


async def _erase(table: Timetable, run: Execution) -> Done:
    digest = run.configuration.sha256
    return await table.desk.do(table.desk.erase(run.id, configuration=digest, job_id="j"))


async def _is_kept(table: Timetable, run: Execution) -> bool:
    return await table.server.ledger.configurations.body(run.configuration.sha256) is not None


async def test_a_job_keeps_what_it_has_taken_up_since_the_request_was_looked_at(
    table: Timetable, database: Database
) -> None:
    """409 from every server, though no job ran with it when the caller looked; then it runs."""
    # given
    run = await _former(table)
    view = await table.server.ledger.view(run.id)
    assert await erasing.job_with(table.server.ledger.pool, view.row) is None
    # when
    await table.define("j", "0 * * * *", command="former")
    # then
    with pytest.raises(errors.ConfigurationOfJob) as refused:
        await _erase(table, run)
    assert refused.value.facts == {"job_id": "j"}
    async with TimeServer(database, table.server.clock) as other:
        with pytest.raises(errors.ConfigurationOfJob):
            await _erase(Timetable(other, database), run)
    assert await _is_kept(table, run)
    await table.tick(hours=1)
    assert table.executions("j")[-1]["status"] == "pending"


async def test_a_job_that_a_batch_changes_before_the_erasure_counts(table: Timetable) -> None:
    """Both are judged in one batch: the job has it by then."""
    run = await _former(table)
    before = table.server.ledger.appender.counters.batches
    # when
    _, refused = await asyncio.gather(
        table.define("j", "0 * * * *", command="former"),
        _erase(table, run),
        return_exceptions=True,
    )
    # then
    assert table.server.ledger.appender.counters.batches == before + 1
    assert type(refused) is errors.ConfigurationOfJob
    assert await _is_kept(table, run)


@pytest.mark.parametrize("together", [False, True])
async def test_a_job_that_takes_it_up_afterwards_brings_it_back(
    table: Timetable,
    together: bool,  # noqa: FBT001 - pytest's
) -> None:
    """Erased, then named again, in one batch or in the next: it is stored."""
    run = await _former(table)
    # when
    if together:
        await asyncio.gather(_erase(table, run), table.define("j", "0 * * * *", command="former"))
    else:
        await _erase(table, run)
        assert not await _is_kept(table, run)
        await table.define("j", "0 * * * *", command="former")
    # then
    assert await _is_kept(table, run)
    await table.define("j", "30 * * * *", command="former")
    with pytest.raises(errors.ConfigurationOfJob):
        await _erase(table, run)


async def test_a_deleted_job_keeps_nothing(table: Timetable) -> None:
    """A paused one still does: it may be resumed."""
    run = await _former(table)
    await table.define("j", "0 * * * *", command="former")
    await table.pause("j")
    with pytest.raises(errors.ConfigurationOfJob):
        await _erase(table, run)
    await table.delete("j")
    await _erase(table, run)
    assert not await _is_kept(table, run)


async def test_what_is_held_is_waited_for(table: Timetable) -> None:
    """An execution for which there is no room is pending too; canceled it keeps nothing."""
    # given
    await table.define("j", "0 * * * *", command="former", max_concurrent=1)
    first, held = await table.run("j"), await table.run("j")
    assert (first.held, held.held) == (None, "max_concurrent")
    await table.start()
    await table.define("j", "0 * * * *", command="present", max_concurrent=1)
    await table.end(first.id)
    # when, then
    with pytest.raises(errors.ConfigurationAwaited):
        await _erase(table, first)
    with pytest.raises(errors.ConfigurationAwaited):
        await table.erase("j", first.configuration.sha256)
    await table.desk.do(table.desk.cancel(held.id))
    await _erase(table, first)
    assert not await _is_kept(table, first)


@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_time_whose_configuration_went_before_a_server_came_is_missed(
    table: Timetable,
    by_hand: bool,  # noqa: FBT001 - pytest's
) -> None:
    """It was to run what the job was then, which nobody knows any more; the next time runs."""
    # given
    run = await _former(table)
    await table.define("j", "0 * * * *", command="former")
    await table.tick()
    table.server.clock.advance(hours=1, seconds=1)
    await table.define("j", "0 * * * *", command="present")
    # when
    if by_hand:
        await _erase(table, run)
    else:
        await table.erase("j", run.configuration.sha256)
    await table.tick()
    # then
    one = START + timedelta(hours=1)
    assert table.made("j") == [None]
    assert table.passed("j") == [("missed", "downtime", one, one, 1)]
    await table.tick(hours=1)
    assert table.made("j") == [None, one + timedelta(hours=1)]


async def test_a_time_still_runs_what_the_job_was_then(table: Timetable) -> None:
    """Given nothing was erased, the run of a time before a change is that of the former job."""
    run = await _former(table)
    await table.define("j", "0 * * * *", command="former")
    await table.tick()
    table.server.clock.advance(hours=1, seconds=1)
    await table.define("j", "0 * * * *", command="present")
    await table.tick()
    state = await table.desk.get(table.executions("j")[-1]["id"])
    assert state.configuration == run.configuration
    with pytest.raises(errors.ConfigurationAwaited):
        await _erase(table, run)
