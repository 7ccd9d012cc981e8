"""The first and longest part of a rebuild: the whole log folded into the empty shadow tables.

In two processes, each with half of the streams, since Python folds on one core; both read the same
snapshot. Or in one, which leaves a core to others.
"""

import gc
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import psycopg
from msgspec import Struct

from projections import shadow
from projections.folding import complete, fold, rest
from projections.read_models import ReadModel, Refold
from projections.snapshot import Snapshot
from projections.workers import ALONE_MAX, Listener, Progress, Told, together
from store.copying import Filling, RowPacker
from store.log_streams import Range, batches, halves


class Counted(Struct):
    """What went through."""

    events: int = 0
    streams: int = 0
    unreadable: int = 0


class Filled(Struct, frozen=True):
    """Up to which position the log was folded, what it held, and what `write_rest` has to write."""

    position: int
    counted: Counted
    passes: Sequence[Sequence[Refold]]


def fill(conninfo: str, models: Sequence[ReadModel], processes: int, progress: Progress) -> Filled:
    """Fold the whole log, and write all rows into the shadow that are complete without the rest.

    With one process or two.
    """
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        ((name, head),) = connection.execute(
            "SELECT pg_export_snapshot(), coalesce(max(position), 0) FROM ledger.events"
        ).fetchall()
        several = processes > 1 and head > ALONE_MAX
        parts = halves(connection, head) if several else [Range()]
        filled = together(
            [(_fill_part, (conninfo, models, Snapshot(conninfo, name), part)) for part in parts],
            Told(progress, "folding", head),
            events=head,
        )
    counts = [counted for _, counted in filled]
    counted = Counted(
        sum(one.events for one in counts),
        sum(one.streams for one in counts),
        sum(one.unreadable for one in counts),
    )
    return Filled(head, counted, [refolds for refolds, _ in filled])


def write_rest(conninfo: str, models: Sequence[ReadModel], filled: Filled) -> None:
    """Write the rows that only all parts of the log together make; see `Refold.rest`. Once only."""
    with ExitStack() as stack:
        sinks = _Sinks(stack, conninfo, models)
        for table, rows in rest(filled.passes).items():
            sinks[table](rows)


def _fill_part(
    conninfo: str,
    models: Sequence[ReadModel],
    snapshot: Snapshot,
    part: Range,
    listener: Listener,
) -> tuple[list[Refold], Counted]:
    """Fold some of the streams, and write the rows that are complete."""
    # What is made here are rows by the million, and no cycles.
    gc.set_threshold(100_000)
    refolds = [model.refold() for model in models]
    counted = Counted()
    with ExitStack() as stack:
        reader = stack.enter_context(snapshot.connect())
        sinks = _Sinks(stack, conninfo, models)
        for batch in batches(reader, part):
            folded = [(state, at) for state, at in map(fold, batch) if state is not None]
            for table, rows in complete(refolds, folded).items():
                sinks[table](rows)
            events = sum(len(stream.versions) for stream in batch)
            counted.events += events
            counted.unreadable += sum(stream.unreadable is not None for stream in batch)
            counted.streams += len(folded)
            listener.add(events)
    return refolds, counted


class _Sinks(dict[str, Callable[[Sequence[Struct]], None]]):
    """What writes rows into the shadow of each table: a connection for each that has any."""

    def __init__(self, stack: ExitStack, conninfo: str, models: Sequence[ReadModel]) -> None:
        super().__init__()
        self._stack = stack
        self._conninfo = conninfo
        self._rows = {table: row for model in models for table, row in model.tables.items()}

    def __missing__(self, table: str) -> Callable[[Sequence[Struct]], None]:
        connection = self._stack.enter_context(psycopg.connect(self._conninfo, autocommit=True))
        types = shadow.column_types(connection, table)
        pack = RowPacker({name: types[name] for name in self._rows[table].__struct_fields__})
        columns = ", ".join(f'"{name}"' for name in pack.columns)
        filling = Filling(
            connection, f"COPY {shadow.SCHEMA}.{table} ({columns}) FROM STDIN (FORMAT BINARY)"
        )
        self._stack.enter_context(filling)
        sink = self[table] = lambda rows: filling.write(pack(rows))
        return sink
