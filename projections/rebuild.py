"""The read models made anew from the log, while the server goes on.

Shadow tables are filled from one snapshot of the log; then they are brought up to the log, first
without any lock and at last under the append lock, and put in place. Whoever reads sees the old
tables until that moment, and the new ones from then on. Folding and indexing take two cores, or one
if somebody recorded a moment before.

A rebuild holds an advisory lock for as long as its connection lives, so that there is one at a
time; what a killed one has left (tables, and workers that have not noticed yet) the next removes.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from queue import SimpleQueue
from typing import Any, Final

import psycopg
from msgspec import Struct
from psycopg import Connection, RawCursor, errors
from psycopg.conninfo import make_conninfo

from projections import filling, shadow
from projections.read_models import ReadModel
from projections.workers import Progress
from store import changes, sql
from store.appender import APPEND_LOCK
from store.changes import ChangedEvent
from store.columns import execute

REBUILD_LOCK: Final = 0x72656275
_SESSION: Final = (
    "-c timezone=UTC -c maintenance_work_mem=256MB -c statement_timeout=0"
    " -c max_parallel_maintenance_workers=0"
)
WORKER: Final = "cronledger rebuild worker"
_CORES: Final = 2
_IN_USE: Final = """
SELECT recorded_at BETWEEN clock_timestamp() - interval '10 seconds'
                       AND clock_timestamp() + interval '10 seconds'
FROM ledger.events ORDER BY position DESC LIMIT 1"""
# So far may the shadow be behind when the lock is taken: some milliseconds of folding.
_NEAR: Final = 500
_ROUND: Final = 5000
_READERS_SECONDS: Final = 0.1
_PAUSE_SECONDS: Final = 0.2


class RebuildRefused(Exception):
    """The rebuild cannot begin; the sentence says why."""


class Rebuilt(Struct, frozen=True):
    """What a rebuild did: up to which position, how many streams could not be read to their end."""

    position: int
    events: int
    streams: int
    unreadable: int
    seconds: float
    attempts: int


def rebuild(conninfo: str, models: Sequence[ReadModel], progress: Progress) -> Rebuilt:
    """Make the read models anew, as the owner of the database, and put them in place.

    Raises `RebuildRefused` and psycopg's errors; then nothing has changed.
    """
    started = time.monotonic()
    conninfo = make_conninfo(conninfo, options=_SESSION)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        _become_the_only_one(connection)
        _check(connection, models)
        shadow.clear(connection)
        tables = [table for model in models for table in model.tables]
        for table in ("projections", *tables):
            shadow.make(connection, table)
        workers = make_conninfo(conninfo, application_name=WORKER)
        filled = filling.fill(workers, models, _cores(connection), progress)
        progress("indexes", 0, 0)
        write_rest = partial(filling.write_rest, workers, models, filled)
        _index(workers, tables, _cores(connection), write_rest)
        # From here on the shadow is a read model that is behind, as an old server's might be.
        position, counted = filled.position, filled.counted
        connection.execute(
            f"DELETE FROM {shadow.SCHEMA}.projections",  # noqa: S608 - a name of ours
        )
        for model in models:
            connection.execute(
                f"INSERT INTO {shadow.SCHEMA}.projections VALUES (%s, %s, %s)",  # noqa: S608
                [model.name, model.version, position],
            )
        position = _near(connection, models, position, progress)
        position, attempts = _swapped(connection, models, position, progress)
        shadow.clear(connection)
    return Rebuilt(
        position=position,
        events=counted.events,
        streams=counted.streams,
        unreadable=counted.unreadable,
        seconds=time.monotonic() - started,
        attempts=attempts,
    )


def _become_the_only_one(connection: Connection[Any]) -> None:
    # One that has just ended, however it did, holds the lock until its connection is gone.
    connection.execute("SET lock_timeout = '1s'")
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", [REBUILD_LOCK])
    except errors.LockNotAvailable:
        refusal = "Another rebuild of this ledger runs; wait until it has ended."
        raise RebuildRefused(refusal) from None
    connection.execute("RESET lock_timeout")
    # Its parent is dead, or we would not hold the lock.
    connection.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name = %s AND datname = current_database()",
        [WORKER],
    )


def _check(connection: Connection[Any], models: Sequence[ReadModel]) -> None:
    for model in models:
        for table, row in model.tables.items():
            if not shadow.exists(connection, table):
                raise RebuildRefused(
                    f"The table read.{table} is not there: stop the server, so that this "
                    "Cronledger can bring the schema up to date, and try again."
                )
            if list(shadow.column_types(connection, table)) != list(row.__struct_fields__):
                raise RebuildRefused(
                    f"The columns of read.{table} are not those that this Cronledger writes; "
                    "restore the table, or upgrade."
                )


def _cores(connection: Connection[Any]) -> int:
    """Return how many things to do at once: one if somebody records, who then waits less for us."""
    row = connection.execute(_IN_USE).fetchone()
    return 1 if row is not None and row[0] else _CORES


def _index(
    conninfo: str, tables: Sequence[str], cores: int, write_rest: Callable[[], None]
) -> None:
    """Make the indexes, so many at a time.

    The rest of the rows is written beside the first of them: a table with one row a stream, by its
    id, has all of its rows by now (`Refold.rest`).
    """
    lent: SimpleQueue[Connection[Any]] = SimpleQueue()
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(psycopg.connect(conninfo, autocommit=True)) for _ in range(cores)
        ]
        for connection in connections:
            lent.put(connection)
        whole = [table for table in tables if shadow.key(connections[0], table) == ["id"]]
        others = [table for table in tables if table not in whole]
        at_once, later = (
            [text for table in some for text in shadow.indexes(connections[0], table)]
            for some in (whole, others)
        )
        pool = stack.enter_context(ThreadPoolExecutor(cores))
        rest = pool.submit(write_rest)

        def do(what: Callable[[Connection[Any]], object]) -> None:
            connection = lent.get()
            try:
                what(connection)
            finally:
                lent.put(connection)

        def once_written(what: Callable[[Connection[Any]], object]) -> None:
            rest.result()
            do(what)

        try:
            made = [pool.submit(do, partial(_execute, text)) for text in at_once]
            made += [pool.submit(once_written, partial(_execute, text)) for text in later]
            for one in as_completed((rest, *made)):
                one.result()
            list(pool.map(do, [partial(_finish, table) for table in tables]))
        except BaseException:
            # Whoever is kept waiting for nothing (a Ctrl-C, a full disk) waits for no index more.
            pool.shutdown(wait=False, cancel_futures=True)
            for connection in connections:
                with contextlib.suppress(psycopg.Error):
                    connection.cancel_safe()
            raise


def _execute(statement: str, connection: Connection[Any]) -> None:
    connection.execute(statement.encode())


def _finish(table: str, connection: Connection[Any]) -> None:
    shadow.finish(connection, table)


def _head(connection: Connection[Any]) -> int:
    row = connection.execute("SELECT coalesce(max(position), 0) FROM ledger.events").fetchone()
    return int(row[0]) if row else 0


def _near(
    connection: Connection[Any], models: Sequence[ReadModel], position: int, progress: Progress
) -> int:
    """Bring the shadow up to what was written meanwhile, without any lock; return how far."""
    while (head := _head(connection)) - position > _NEAR:
        progress("catching up", position, head)
        following = min(head, position + _ROUND)
        with connection.transaction():
            _bring(connection, models, position, following)
        position = following
    return position


def _bring(connection: Connection[Any], models: Sequence[ReadModel], after: int, upto: int) -> None:
    """Write into the shadow what changed between two positions, as the appender would have."""
    if upto == after:
        return
    with RawCursor(connection) as cursor:
        events = cursor.execute(sql.named("read_changed").encode(), [after, upto])
        changed = changes.changes((ChangedEvent(*row) for row in events), after)
        for model in models:
            if (found := model.parameters(changed)) is not None:
                execute(connection, shadow.elsewhere(model.statement), found)
        move = shadow.elsewhere(changes.MOVE).encode()
        cursor.execute(move, [part.decode() for part in changes.moved(changes.named(models), upto)])


def _swapped(
    connection: Connection[Any], models: Sequence[ReadModel], position: int, progress: Progress
) -> tuple[int, int]:
    """Put the shadow in place; return up to which position, and after how many attempts.

    While we wait for a reader to end, other readers wait behind us, and writers for the append
    lock: so we wait for a moment only, let everybody pass, and try again.
    """
    attempts = 0
    while True:
        attempts += 1
        with contextlib.suppress(errors.LockNotAvailable, errors.DeadlockDetected):
            return _swap(connection, models, position), attempts
        progress("waiting for readers", attempts, 0)
        time.sleep(_PAUSE_SECONDS * (1 + random.random()))  # noqa: S311 - only to be out of step
        position = _near(connection, models, position, progress)


def _swap(connection: Connection[Any], models: Sequence[ReadModel], position: int) -> int:
    tables = [table for model in models for table in model.tables]
    with connection.transaction():
        with _lock_timeout(connection, 10):
            shadow.hold_off_vacuum(connection, tables)
            # From here on nobody records.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [APPEND_LOCK])
        head = _head(connection)
        if head - position > _ROUND:
            raise errors.LockNotAvailable  # we waited long for the lock: once more without it
        _bring(connection, models, position, head)
        with _lock_timeout(connection, _READERS_SECONDS):
            shadow.swap(connection, tables)
        for model in models:
            connection.execute(
                "INSERT INTO read.projections VALUES (%s, %s, %s)"
                " ON CONFLICT (name, version) DO UPDATE SET position = excluded.position",
                [model.name, model.version, head],
            )
    # At this point everybody reads the new tables.
    return head


@contextlib.contextmanager
def _lock_timeout(connection: Connection[Any], seconds: float) -> Iterator[None]:
    connection.execute(f"SET LOCAL lock_timeout = {int(seconds * 1000)}")
    yield
    connection.execute("SET LOCAL lock_timeout = 0")
