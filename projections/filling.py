"""The first and longest part of a rebuild: the whole log folded into the empty shadow tables.

Two processes, each with half of the streams: Python folds on one core. Both read the same snapshot.
"""

import gc
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from typing import Any, Final, TypeAlias

import psycopg
from msgspec import Struct
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from projections import shadow
from projections.folding import fold
from projections.read_models import ReadModel, Refold
from store.copying import Filling, row_packer
from store.log_streams import Range, streams

WORKER: Final = "cronledger rebuild worker"
# Below that a second process costs more than it brings.
_ALONE_MAX: Final = 20_000
_TOLD_EVERY: Final = 1000


class WorkerLost(Exception):
    """A process that filled the tables was ended from outside; start the rebuild again."""


class Counted(Struct):
    """What went through."""

    events: int = 0
    executions: int = 0
    unreadable: int = 0


_Part: TypeAlias = tuple[list[Refold], Counted]


class _Snapshot(Struct, frozen=True):
    """What all who read the log must agree on."""

    name: str
    position: int
    middle: Any


def fill(
    conninfo: str, models: Sequence[ReadModel], progress: Callable[[str, int, int], None]
) -> tuple[int, Counted]:
    """Fold the whole log into the shadow tables; return up to which position, and what it held."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        row = connection.execute(
            "SELECT pg_export_snapshot(), head, (SELECT stream_id FROM ledger.events"
            "  WHERE position = head / 2) FROM (SELECT coalesce(max(position), 0) AS head"
            "  FROM ledger.events) AS log"
        ).fetchone()
        seen = _Snapshot(*row) if row else _Snapshot("", 0, None)
        told = _Told(progress, seen.position)
        if seen.position <= _ALONE_MAX or seen.middle is None:
            refolds, counted = _fill_part(conninfo, models, seen.name, Range(), told.add)
        else:
            refolds, counted = _fill_halves(conninfo, models, seen, told)
    _write_rest(conninfo, models, refolds)
    return seen.position, counted


class _Told:
    """Adds up what the parts have done, and tells of it."""

    def __init__(self, progress: Callable[[str, int, int], None], total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def add(self, events: int) -> None:
        """Count some more events."""
        self._done += events
        self._progress("folding", self._done, self._total)


def _fill_halves(conninfo: str, models: Sequence[ReadModel], seen: _Snapshot, told: _Told) -> _Part:
    """Let two processes fill, and join what they have not written yet."""
    context = multiprocessing.get_context("spawn")
    pipes: list[Pipe] = []
    workers = []
    for part in (Range(None, seen.middle), Range(seen.middle, None)):
        ours, theirs = context.Pipe(duplex=False)
        worker = context.Process(
            target=_work, args=(theirs, conninfo, models, seen.name, part), daemon=True
        )
        worker.start()
        theirs.close()
        pipes.append(ours)
        workers.append(worker)
    try:
        (refolds, counted), (others, more) = _heard(pipes, told)
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    for refold, other in zip(refolds, others, strict=True):
        refold.join(other)
    counted.events += more.events
    counted.executions += more.executions
    counted.unreadable += more.unreadable
    return refolds, counted


def _heard(pipes: Sequence[Pipe], told: _Told) -> list[_Part]:
    """Hear the workers until both have done their part. Raises what one of them raised."""
    parts: dict[int, _Part] = {}
    while len(parts) < len(pipes):
        for ready in wait([pipe for n, pipe in enumerate(pipes) if n not in parts]):
            number = pipes.index(ready)
            try:
                said = pipes[number].recv()
            except EOFError:
                raise WorkerLost from None
            if isinstance(said, int):
                told.add(said)
            elif isinstance(said, Exception):
                raise said
            else:
                parts[number] = said
    return [parts[number] for number in range(len(pipes))]


def _work(
    pipe: Pipe, conninfo: str, models: Sequence[ReadModel], snapshot: str, part: Range
) -> None:
    """Do one part in a process of its own, which does not outlive the one that wants it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        pipe.send(_fill_part(conninfo, models, snapshot, part, pipe.send))
    except Exception as error:  # noqa: BLE001 - raised again by who hears it
        pipe.send(RuntimeError(str(error)) if error.__cause__ else error)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _fill_part(
    conninfo: str,
    models: Sequence[ReadModel],
    snapshot: str,
    part: Range,
    tell: Callable[[int], None],
) -> _Part:
    """Fold some of the streams, and write the rows that are complete."""
    # What is made here are rows by the million, and no cycles.
    gc.set_threshold(100_000)
    refolds = [model.refold() for model in models]
    counted, untold = Counted(), 0
    with ExitStack() as stack:
        reader = stack.enter_context(_connected(conninfo))
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        reader.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        sinks = _sinks(stack, conninfo, models)
        for stream in streams(reader, part):
            state, position, unreadable = fold(stream)
            counted.events += len(stream.events)
            counted.unreadable += unreadable is not None
            if state is not None:
                counted.executions += 1
                for refold in refolds:
                    for table, row in refold.take(state, position):
                        sinks[table](row)
            if counted.events - untold > _TOLD_EVERY:
                tell(counted.events - untold)
                untold = counted.events
        tell(counted.events - untold)
    return refolds, counted


def _write_rest(conninfo: str, models: Sequence[ReadModel], refolds: Sequence[Refold]) -> None:
    """Write the rows that were complete only at the end."""
    with ExitStack() as stack:
        sinks = _sinks(stack, conninfo, models)
        for refold in refolds:
            for table, row in refold.rest():
                sinks[table](row)


def _sinks(
    stack: ExitStack, conninfo: str, models: Sequence[ReadModel]
) -> dict[str, Callable[[Struct], None]]:
    """Return what writes a row into the shadow of each table, over a connection each."""
    sinks = {}
    for model in models:
        for table, row in model.tables.items():
            connection = stack.enter_context(_connected(conninfo))
            types = shadow.column_types(connection, table)
            columns = ", ".join(f'"{name}"' for name in row.__struct_fields__)
            filling = Filling(
                connection, f"COPY {shadow.SCHEMA}.{table} ({columns}) FROM STDIN (FORMAT BINARY)"
            )
            stack.enter_context(filling)
            sinks[table] = _sink(filling, [types[name] for name in row.__struct_fields__])
    return sinks


def _sink(filling: Filling, types: Sequence[str]) -> Callable[[Struct], None]:
    pack, write = row_packer(types), filling.write
    return lambda row: write(pack(row))


def _connected(conninfo: str) -> Connection[Any]:
    return psycopg.connect(make_conninfo(conninfo, application_name=WORKER), autocommit=True)
