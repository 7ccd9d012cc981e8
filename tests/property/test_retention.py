"""Output that is older or more than it may be goes by itself, and nothing else does."""

import asyncio
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from msgspec.structs import replace

from api.ledger import Ledger
from api.problems import problem_of
from api.retention import Retention, batches
from api.settings import Settings
from domain import commands
from domain.errors import NotErasable
from domain.execution import Execution
from projections import erasing
from projections.erasing import Due, Policy
from store import output
from store.appender import DiskFull
from tests.support import invariants
from tests.support.calls import SECONDS
from tests.support.ledgers import NOTHING, Desk, running_ledger
from tests.support.postgres import Database

pytestmark = pytest.mark.anyio
_SIZE: Final = 100
_ONE: Final[dict[str, Any]] = {"offset": 0, "data": b"one"}


async def _wrote(desk: Desk, exit_code: int = 0, *, days: float = 0) -> Execution:
    """An execution that wrote 100 bytes, and ended so many days ago."""
    state = await desk.begun()
    ending = await desk.write(state, b"x" * (_SIZE - 1), b"!")
    ending = replace(ending, exit_code=exit_code)
    done = await desk.do(desk.complete(state.id, state.fence, ending=ending))
    assert done.execution is not None
    async with desk.ledger.pool.connection() as connection:
        # The event keeps its time; only what retention looks at is moved, and moved back later.
        await connection.execute(
            "UPDATE read.executions_1 SET completed_at = completed_at - make_interval(secs => %s)"
            " WHERE id = %s",
            [days * 86400, state.id],
        )
    return done.execution


async def _kept(ledger: Ledger) -> set[UUID]:
    async with ledger.pool.connection() as connection:
        cursor = await connection.execute("SELECT DISTINCT execution_id FROM store.output_chunks")
        return {one for (one,) in await cursor.fetchall()}


async def _facts(ledger: Ledger, execution_id: UUID) -> list[tuple[str, str]]:
    async with ledger.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT type, actor FROM ledger.events WHERE stream_id = %s ORDER BY version",
            [execution_id],
        )
        return [(kind, actor) for kind, actor in await cursor.fetchall()]


async def test_output_goes_when_its_class_has_had_it_long_enough(database: Database) -> None:
    """Old successes go, old failures stay as long as they may, what runs is not looked at."""
    async with running_ledger(database, retention_seconds=3600) as ledger:
        desk = Desk(ledger)
        new, old = await _wrote(desk), await _wrote(desk, days=8)
        failed, older = await _wrote(desk, 3, days=8), await _wrote(desk, 3, days=31)
        runs = await desk.begun()
        await desk.write(runs, b"still here")
        limits = Settings(
            home=ledger.settings.home, retention_success_days=7, retention_failure_days=30
        )
        due = await erasing.due(ledger.pool, limits.retention)
        # when
        retention = Retention(replace(ledger, settings=limits))
        await retention.look()
        # then
        assert [one.execution_id for one in due] == [old.id, older.id]
        assert retention.erased == 2
        assert await _kept(ledger) == {new.id, failed.id, runs.id}
        for one in (old, older):
            told = (await _facts(ledger, one.id))[-1]
            assert told == ("execution.bodies_erased", "server:retention")
        assert await erasing.due(ledger.pool, limits.retention) == []


@pytest.mark.parametrize("succeeded", [True, False])
async def test_the_oldest_goes_when_it_is_too_much(database: Database, *, succeeded: bool) -> None:
    """Of a class no more than so many bytes are kept, newest first; the other is its own."""
    async with running_ledger(database) as ledger:
        desk = Desk(ledger)
        many = [await _wrote(desk, 0 if succeeded else 3) for _ in range(5)]
        other = await _wrote(desk, 3 if succeeded else 0)
        most = 2 * _SIZE + 50
        policy = Policy(success_bytes=most) if succeeded else Policy(failure_bytes=most)
        # when
        due = await erasing.due(ledger.pool, policy)
        sums = await erasing.sums(ledger.pool, policy)
        # then
        assert due == [Due(one.id, _SIZE) for one in many[:3]]
        of_class, of_other = sums if succeeded else reversed(sums)
        assert (of_class.kept_executions, of_class.due_executions) == (5, 3)
        assert (of_class.kept_bytes, of_class.due_bytes) == (5 * _SIZE, 3 * _SIZE)
        assert (of_other.kept_bytes, of_other.due_bytes) == (_SIZE, 0)
        assert await _kept(ledger) == {one.id for one in (*many, other)}
    invariants.check(database.owner)


def test_a_batch_is_small() -> None:
    """At most 50 executions, or 8 MiB, go together; one that is larger goes alone."""
    small = [Due(UUID(int=n), 1) for n in range(120)]
    large = [Due(UUID(int=200 + n), 3 << 20) for n in range(4)]
    huge = [Due(UUID(int=300), 20 << 20)]

    found = batches([*huge, *small, *large])

    assert [len(batch) for batch in found] == [1, 50, 50, 22, 2]
    assert [one for batch in found for one in batch] == [*huge, *small, *large]
    assert batches([]) == []


async def test_what_an_agent_sends_after_an_erasure_is_not_kept(ledger: Ledger) -> None:
    """Given up, and erased: more bytes are counted and dropped, the outcome is kept."""
    desk = Desk(ledger)
    state = await desk.begun()
    await desk.write(state, b"secret 1")
    with pytest.raises(NotErasable):
        await desk.do(desk.erase(state.id))
    await desk.do(desk.give_up(commands.Lose, state.id))
    await desk.do(desk.erase(state.id))
    assert state.fence is not None
    # when
    said: dict[str, Any] = {"offset": 8, "data": b", secret 2"}
    first = await output.append(ledger.pool, state.id, state.fence, "stdout", **said)
    again = await output.append(ledger.pool, state.id, state.fence, "stdout", **said)
    gap = await output.append(
        ledger.pool, state.id, state.fence, "stdout", offset=100, data=b"more"
    )
    ending = await ledger.ending(await ledger.standing(state.id), NOTHING)
    done = await desk.do(desk.complete(state.id, state.fence, ending=ending))
    # then
    assert [(one.result, one.next_offset) for one in (first, again, gap)] == [
        *(("ok", 18), ("ok", 18), ("gap", 18)),
    ]
    assert done.execution is not None
    assert done.execution.late is not None
    told = done.execution.late.ending.stdout
    assert (told.written_bytes, told.kept_bytes) == (18, 0)
    assert await _kept(ledger) == set()


async def test_every_server_forgets_an_erased_configuration(database: Database) -> None:
    """What a server remembered, another one's erasure takes from it within a moment."""
    async with running_ledger(database) as here, running_ledger(database) as there:
        desk = Desk(here)
        work = desk.create(claim_agent_id="a")
        assert work.configuration is not None
        done = await desk.do(work)
        assert done.execution is not None
        ended = await desk.do(desk.complete(done.execution.id, done.execution.fence))
        digest = work.configuration.digest
        assert await there.configurations.body(digest) == work.configuration.body
        # when
        assert ended.execution is not None
        await desk.do(desk.erase(ended.execution.id, configuration=digest))
        # then
        assert await here.configurations.body(digest) is None
        await _until_gone(there, digest)
    invariants.check(database.owner)


async def _until_gone(ledger: Ledger, digest: str) -> None:
    async with asyncio.timeout(SECONDS):
        while await ledger.configurations.body(digest) is not None:  # noqa: ASYNC110 - news of others
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("table", ["store.output_chunks", "ledger.events"])
async def test_a_full_disk_takes_nothing_and_loses_nothing(database: Database, table: str) -> None:
    """Chunks and commands fail with a sentence, none is half done, and it goes on with space."""
    async with running_ledger(database) as ledger:
        desk = Desk(ledger)
        state = await desk.begun()
        assert state.fence is not None
        _fill(database, table)
        # when
        with pytest.raises((psycopg.errors.DiskFull, DiskFull)) as full:
            await (
                desk.do(desk.complete(state.id, state.fence))
                if table == "ledger.events"
                else output.append(ledger.pool, state.id, state.fence, "stdout", **_ONE)
            )
        # then
        problem = problem_of(full.value)
        assert (problem.status, problem.headers["Retry-After"]) == (503, "10")
        assert "disk" in problem.detail
        _free(database, table)
        done = await output.append(ledger.pool, state.id, state.fence, "stdout", **_ONE)
        assert (done.result, done.next_offset) == ("ok", 3)
        ending = await ledger.ending(await ledger.standing(state.id), NOTHING)
        assert (await desk.do(desk.complete(state.id, state.fence, ending=ending))).changed
    invariants.check(database.owner)


def _fill(database: Database, table: str) -> None:
    """Let the database refuse rows as it does on a full disk."""
    with database.as_owner() as owner:
        owner.execute(
            """CREATE OR REPLACE FUNCTION public.full_disk() RETURNS trigger LANGUAGE plpgsql
               AS $$ BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$"""
        )
        owner.execute(
            f"CREATE TRIGGER full_disk BEFORE INSERT ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION public.full_disk()".encode()
        )


def _free(database: Database, table: str) -> None:
    with database.as_owner() as owner:
        owner.execute(f"DROP TRIGGER full_disk ON {table}".encode())
