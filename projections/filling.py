"""The first and longest part of a rebuild: the whole log folded into the empty shadow tables.

Two processes, each with half of the streams: Python folds on one core. Both read the same snapshot.
"""

import gc
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Final, TypeAlias

import psycopg
from msgspec import Struct
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from projections import shadow
from projections.folding import by_table, complete, fold
from projections.read_models import ReadModel, Refold
from projections.workers import ALONE_MAX, Progress, Told, together
from store.copying import Filling, RowPacker
from store.log_streams import Range, batches

WORKER: Final = "cronledger rebuild worker"


class Counted(Struct):
    """What went through."""

    events: int = 0
    streams: int = 0
    unreadable: int = 0


_Filled: TypeAlias = tuple[list[Refold], Counted]


class _Snapshot(Struct, frozen=True):
    """What all who read the log must agree on."""

    name: str
    position: int
    middle: Any


def fill(conninfo: str, models: Sequence[ReadModel], progress: Progress) -> tuple[int, Counted]:
    """Fold the whole log into the shadow tables; return up to which position, and what it held."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        row = connection.execute(
            "SELECT pg_export_snapshot(), head, (SELECT stream_id FROM ledger.events"
            "  WHERE position = head / 2) FROM (SELECT coalesce(max(position), 0) AS head"
            "  FROM ledger.events) AS log"
        ).fetchone()
        seen = _Snapshot(*row) if row else _Snapshot("", 0, None)
        told = Told(progress, "folding", seen.position)
        if seen.position <= ALONE_MAX or seen.middle is None:
            refolds, counted = _fill_part(conninfo, models, seen.name, Range(), told.add)
        else:
            refolds, counted = _fill_halves(conninfo, models, seen, told.add)
    _write_rest(conninfo, models, refolds)
    return seen.position, counted


def _fill_halves(
    conninfo: str, models: Sequence[ReadModel], seen: _Snapshot, tell: Callable[[int], None]
) -> _Filled:
    """Let two processes fill, and join what they have not written yet."""
    halves = (Range(None, seen.middle), Range(seen.middle, None))
    arguments = (conninfo, models, seen.name)
    (refolds, counted), (others, more) = together(
        [(_fill_part, (*arguments, half)) for half in halves], tell, events=seen.position
    )
    for refold, other in zip(refolds, others, strict=True):
        refold.join(other)
    counted.events += more.events
    counted.streams += more.streams
    counted.unreadable += more.unreadable
    return refolds, counted


def _fill_part(
    conninfo: str,
    models: Sequence[ReadModel],
    snapshot: str,
    part: Range,
    tell: Callable[[int], None],
) -> _Filled:
    """Fold some of the streams, and write the rows that are complete."""
    # What is made here are rows by the million, and no cycles.
    gc.set_threshold(100_000)
    refolds = [model.refold() for model in models]
    counted = Counted()
    with ExitStack() as stack:
        reader = stack.enter_context(_connected(conninfo))
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        reader.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        sinks = _sinks(stack, conninfo, models)
        for batch in batches(reader, part):
            folded = [(state, at) for state, at in map(fold, batch) if state is not None]
            for table, rows in complete(refolds, folded).items():
                sinks[table](rows)
            events = sum(len(stream.versions) for stream in batch)
            counted.events += events
            counted.unreadable += sum(stream.unreadable is not None for stream in batch)
            counted.streams += len(folded)
            tell(events)
    return refolds, counted


def _write_rest(conninfo: str, models: Sequence[ReadModel], refolds: Sequence[Refold]) -> None:
    """Write the rows that were complete only at the end."""
    rest = by_table(row for refold in refolds for row in refold.rest())
    if not rest:
        return
    with ExitStack() as stack:
        sinks = _sinks(stack, conninfo, models)
        for table, rows in rest.items():
            sinks[table](rows)


def _sinks(
    stack: ExitStack, conninfo: str, models: Sequence[ReadModel]
) -> dict[str, Callable[[Sequence[Struct]], None]]:
    """Return what writes rows into the shadow of each table, over a connection each."""
    sinks = {}
    for model in models:
        for table, row in model.tables.items():
            connection = stack.enter_context(_connected(conninfo))
            types = shadow.column_types(connection, table)
            pack = RowPacker({name: types[name] for name in row.__struct_fields__})
            columns = ", ".join(f'"{name}"' for name in pack.columns)
            filling = Filling(
                connection, f"COPY {shadow.SCHEMA}.{table} ({columns}) FROM STDIN (FORMAT BINARY)"
            )
            stack.enter_context(filling)
            sinks[table] = _sink(filling, pack)
    return sinks


def _sink(filling: Filling, pack: RowPacker) -> Callable[[Sequence[Struct]], None]:
    return lambda rows: filling.write(pack(rows))


def _connected(conninfo: str) -> Connection[Any]:
    return psycopg.connect(make_conninfo(conninfo, application_name=WORKER), autocommit=True)
