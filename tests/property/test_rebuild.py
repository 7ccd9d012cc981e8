"""A rebuilt read model is the one that was there, whatever happened and while it goes on."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec import Struct
from psycopg import Connection, errors
from psycopg.sql import SQL, Identifier

from domain import ids
from projections import shadow
from projections.queries import Filter
from projections.read_models import READ_MODELS, ReadModel, check
from projections.rebuild import REBUILD_LOCK, RebuildRefused, Rebuilt, _cores, rebuild
from projections.verify import verify
from store.appender import Unavailable
from store.changes import Change
from store.database import NotReady
from tests.property import test_ledger_machine as machines
from tests.property.test_verify import NOWHERE, lines
from tests.support import invariants
from tests.support.calls import eventually
from tests.support.ledgers import Desk, running_ledger
from tests.support.postgres import Database, Postgres


def _silent(_step: str, _done: int, _total: int) -> None:
    pass


def rebuilt(database: Database, models: Sequence[ReadModel] = READ_MODELS) -> Rebuilt:
    """Rebuild."""
    return rebuild(database.owner, models, _silent)


def rows(connection: Connection[Any], table: str = "executions_1") -> list[tuple[Any, ...]]:
    """A whole table."""
    query = SQL("SELECT * FROM {} ORDER BY id").format(Identifier("read", table))
    return connection.execute(query).fetchall()


class _Machine(machines.Machine):
    """The ledger of that test; at the end of a run its read models are made anew and verified."""

    def teardown(self) -> None:
        """What was there is there again, and neither verify nor the check apart finds anything."""
        with self.database.as_owner() as connection:
            before = rows(connection)
            connection.execute("UPDATE read.executions_1 SET status = 'nonsense', version = 0")

            rebuilt(self.database)

            assert rows(connection) == before
        found = verify(self.database.owner, READ_MODELS, NOWHERE, _silent).findings
        assert lines(found) == []
        super().teardown()


@pytest.mark.timeout(600)  # only to make a failure small; without one it takes seconds
def test_any_history_rebuilt_is_what_it_was(postgres: Postgres) -> None:
    """Whatever was asked, a rebuild gives the rows that were there, and all of it verifies."""
    _Machine.postgres = postgres
    run_state_machine_as_test(
        _Machine, settings=settings(machines.SETTINGS, max_examples=4, stateful_step_count=12)
    )


@pytest.mark.soak
def test_any_history_rebuilt_is_what_it_was_for_long(postgres: Postgres) -> None:
    """The same with 300 histories."""
    _Machine.postgres = postgres
    run_state_machine_as_test(_Machine, settings=settings(machines.SETTINGS, max_examples=300))


@pytest.mark.anyio
async def test_prepared_statements_outlive_the_swap(database: Database) -> None:
    """Given a running server's writer and readers, their statements work on the new tables."""
    async with running_ledger(database) as ledger:
        desk = Desk(ledger)
        state = await desk.begun()
        for _ in range(7):  # often enough for every plan that is kept
            assert await ledger.views.one(state.id) is not None
            assert (await ledger.lists.page(Filter(), limit=5, offset=0)).total == 1
        connections = (ledger.appender._trips, ledger.views._trips)

        await asyncio.to_thread(rebuilt, database)

        await desk.do(desk.complete(state.id, state.fence))
        view = await ledger.views.one(state.id)
        page = await ledger.lists.page(Filter(status=("success",)), limit=5, offset=0)
        assert view is not None
        assert view.row.status == "success"
        assert [one.row.id for one in page.rows] == [state.id]
        assert (ledger.appender._trips, ledger.views._trips) == connections
        assert ledger.appender.counters.failures == 0
    invariants.check(database.owner)


@pytest.mark.anyio
@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("option", ["autovacuum_enabled", "autovacuum_vacuum_threshold"])
async def test_the_new_table_is_made_like_the_old(
    database: Database, monkeypatch: pytest.MonkeyPatch, cores: int, option: str
) -> None:
    """Columns, options, indexes with their names, and rights are those of the table before."""
    monkeypatch.setattr("projections.rebuild._cores", lambda _: cores)
    async with running_ledger(database) as ledger:
        await Desk(ledger).ended()
    with database.as_owner() as owner:
        owner.execute(f"ALTER TABLE read.executions_1 SET ({option} = 0)".encode())
        before, was = _described(owner), _number(owner)

        rebuilt(database)

        assert _described(owner) == before
        assert _number(owner) != was
        left = owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'shadow'")
        assert left.fetchall() == []


def _described(owner: Connection[Any]) -> list[Any]:
    name = "read.executions_1"
    statements = (
        shadow._OPTIONS,
        shadow._COLUMN_OPTIONS,
        shadow._TYPES,
        shadow._KEY,
        shadow._INDEXES,
        "SELECT relacl::text FROM pg_class WHERE oid = %s::regclass",
        """SELECT attname, attnotnull, pg_get_expr(adbin, adrelid) FROM pg_attribute
           LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
           WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum""",
    )
    return [owner.execute(statement.encode(), [name]).fetchall() for statement in statements]


def _number(owner: Connection[Any]) -> Any:
    return owner.execute("SELECT 'read.executions_1'::regclass::oid").fetchone()


@pytest.mark.parametrize(("ago", "cores"), [(None, 2), ("1 second", 1), ("1 minute", 2)])
def test_who_records_is_left_a_core(database: Database, ago: str | None, cores: int) -> None:
    """A rebuild takes two cores of a ledger that is empty or at rest, and one of one in use."""
    with database.as_owner() as owner:
        if ago is not None:
            # The one column that counts; the other ones hold what they may.
            owner.execute(
                """
                INSERT INTO ledger.events
                SELECT 1, 1, now(), clock_timestamp() - %s::interval, id, id, id, id, 1, 1,
                       'execution.created', 'operator:me', '{}', sha256('')
                FROM gen_random_uuid() AS id""",
                [ago],
            )
        assert _cores(owner) == cores


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("fails", ["write_rest", "_execute", "_finish"])
def test_a_rebuild_that_fails_says_why(
    database: Database, monkeypatch: pytest.MonkeyPatch, fails: str, cores: int
) -> None:
    """What went wrong with a part is raised, and the next rebuild works."""

    def fail(*_: object) -> None:
        raise errors.DiskFull("no room")

    monkeypatch.setattr("projections.rebuild._cores", lambda _: cores)
    with monkeypatch.context() as broken:
        where = "projections.filling" if fails == "write_rest" else "projections.rebuild"
        broken.setattr(f"{where}.{fails}", fail)
        with pytest.raises(errors.DiskFull, match="no room"):
            rebuilt(database)
    rebuilt(database)


def test_there_is_one_rebuild_at_a_time(database: Database) -> None:
    """While one runs, a second is refused with a sentence, and changes nothing."""
    with database.as_owner() as first:
        first.execute("SELECT pg_advisory_lock(%s)", [REBUILD_LOCK])

        with pytest.raises(RebuildRefused, match="Another rebuild of this ledger runs"):
            rebuilt(database)

    assert rebuilt(database).events == 0


def test_a_rebuild_that_has_just_ended_is_none(database: Database) -> None:
    """Its lock goes with its connection, a moment later: the next one waits for that."""
    with database.as_owner() as first, ThreadPoolExecutor(1) as pool:
        first.execute("SELECT pg_advisory_lock(%s)", [REBUILD_LOCK])
        next_one = pool.submit(rebuilt, database)
        waiting = (
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        eventually(lambda: next_one.done() or first.execute(waiting).fetchone(), "it waits")
        first.execute("SELECT pg_advisory_unlock(%s)", [REBUILD_LOCK])
        assert next_one.result().events == 0


@pytest.mark.anyio
async def test_a_reader_that_does_not_end_holds_nobody_up(database: Database) -> None:
    """Given a long transaction reads the table, the swap waits for it, and commands do not."""
    async with running_ledger(database) as ledger:
        desk = Desk(ledger)
        await desk.ended()
        with database.as_server() as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM read.executions_1")
            waited = asyncio.Event()
            loop = asyncio.get_running_loop()

            def progress(step: str, _done: int, _total: int) -> None:
                if step == "waiting for readers":
                    loop.call_soon_threadsafe(waited.set)

            swapping = asyncio.create_task(
                asyncio.to_thread(rebuild, database.owner, READ_MODELS, progress)
            )
            await asyncio.wait_for(waited.wait(), 30)
            meanwhile = await desk.ended()
            assert await ledger.views.one(meanwhile.id) is not None
            reader.execute("COMMIT")
        done = await swapping
    assert done.attempts > 1
    assert done.position == 6
    invariants.check(database.owner)


# ------------------------------------------------------------------------- a second version


class RowTwo(Struct, frozen=True):
    """A row of a made-up version 2: less columns, and one that was not there."""

    id: UUID
    status: str
    shown_id: str


class ExecutionsTwo:
    """The read model of executions, changed."""

    name = "executions"
    version = 2
    tables: Final[Mapping[str, type[Struct]]] = {"executions_2": RowTwo}
    statement = """
        INSERT INTO read.executions_2 AS kept
        SELECT r.id, r.status, r.shown_id
        FROM json_to_recordset($1::json) AS r (id uuid, status text, shown_id text)
        ON CONFLICT (id) DO UPDATE SET status = excluded.status"""

    def parameters(self, changes: Sequence[Change]) -> tuple[bytes, ...]:
        """The rows that changed."""
        found = [self._row(change.after) for change in changes]
        return (msgspec.json.encode(found),)

    def refold(self) -> "ExecutionsTwo":
        """Begin a pass."""
        return self

    def take(self, state: Any, _position: int) -> tuple[tuple[str, Struct], ...]:
        """A row at once."""
        return (("executions_2", self._row(state)),)

    def join(self, later: "ExecutionsTwo") -> None:
        """Nothing to take over."""

    def rest(self) -> tuple[()]:
        """Nothing is left."""
        return ()

    @staticmethod
    def _row(state: Any) -> RowTwo:
        return RowTwo(state.id, state.status, ids.to_text(ids.EXECUTION, state.id))


NEW: Final = (ExecutionsTwo(),)
_MIGRATION: Final = """
CREATE TABLE read.executions_2 (id uuid PRIMARY KEY, status text NOT NULL, shown_id text NOT NULL);
GRANT SELECT, INSERT, UPDATE, DELETE ON read.executions_2 TO cronledger_server;
INSERT INTO read.projections VALUES ('executions', 2, 0)"""


@pytest.mark.anyio
async def test_a_new_version_is_rolled_out_beside_the_old(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old and new servers run side by side, and each version comes to what happened meanwhile."""
    async with running_ledger(database) as old:
        before = await Desk(old).ended()
        with database.as_owner() as owner:
            owner.execute(_MIGRATION.encode())
        done = await asyncio.to_thread(rebuilt, database, NEW)
        assert done.streams == 1
        meanwhile = await Desk(old).ended(exit_code=3)
        monkeypatch.setattr("api.app.READ_MODELS", NEW)
        async with running_ledger(database) as new:
            after = await Desk(new).ended()
            also = await Desk(old).ended(exit_code=3)
            last = await Desk(new).ended()

    with database.as_owner() as owner:
        two = rows(owner, "executions_2")
        head = owner.execute("SELECT max(position) FROM ledger.events").fetchone()
        at = owner.execute("SELECT DISTINCT position FROM read.projections WHERE version = 2")
        assert at.fetchall() == [head]
    made = sorted([before, meanwhile, after, also, last], key=lambda state: state.id)
    assert [(state.id, state.status, ids.to_text(ids.EXECUTION, state.id)) for state in made] == two
    found = verify(database.owner, NEW, NOWHERE, _silent).findings
    assert [line for line in lines(found) if line.startswith("read model")] == []


def test_a_server_says_what_helps_if_its_version_is_missing_or_far_behind(
    database: Database,
) -> None:
    """Without its version a server does not start, nor far behind; a small distance is no harm."""
    with pytest.raises(NotReady, match=r"version 2, is not there.*run `cronledger rebuild`"):
        check(database.conninfo, NEW)
    with database.as_owner() as owner:
        owner.execute(_MIGRATION.encode())
    check(database.conninfo, NEW)


def test_a_server_does_not_start_on_a_log_that_lost_events(database: Database) -> None:
    """Given a read model that has seen more than the log holds, it says so instead."""
    with database.as_owner() as owner:
        owner.execute("UPDATE read.projections SET position = 5 WHERE name = 'totals'")

    with pytest.raises(NotReady, match=r"totals.*at position 5, and the log at 0: events .* gone"):
        check(database.conninfo)


@pytest.mark.anyio
async def test_a_writer_does_not_go_on_without_its_read_model(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Given its version is gone when others recorded, a server records nothing and says why."""
    async with running_ledger(database) as one, running_ledger(database) as other:
        await Desk(one).ended()
        with database.as_owner() as owner:
            owner.execute("UPDATE read.projections SET position = position - 1")
            owner.execute("DELETE FROM read.projections WHERE name = 'executions'")

        with pytest.raises(Unavailable):
            await Desk(other).begun()

    assert "run `cronledger rebuild`" in caplog.text
    with database.as_owner() as owner:
        assert owner.execute("SELECT count(*) FROM ledger.events").fetchone() == (3,)
    rebuilt(database)
    async with running_ledger(database) as again:
        await Desk(again).ended()
    invariants.check(database.owner)


@pytest.mark.anyio
async def test_a_short_distance_is_bridged_without_work(database: Database) -> None:
    """Given events without rows, a server that has nothing to do brings them up by itself."""
    async with running_ledger(database) as ledger:
        state = await Desk(ledger).ended()
    with database.as_owner() as owner:
        owner.execute("DELETE FROM read.executions_1")
        owner.execute("UPDATE read.projections SET position = 0 WHERE name = 'executions'")

    async with running_ledger(database) as ledger:
        async with asyncio.timeout(20):
            while await ledger.views.one(state.id) is None:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
    invariants.check(database.owner)
