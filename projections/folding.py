"""Streams folded into their last states, and these into rows: for rebuild and verify."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, starmap
from typing import NamedTuple

from msgspec import Struct

from domain.streams import State, evolve
from projections.read_models import Refold, TableRow
from store.log_streams import Stream


class Folded(NamedTuple):
    """The last state that can be read of a stream, and since which position."""

    state: State | None
    position: int = 0


def fold(stream: Stream) -> Folded:
    """Return the last state of one stream."""
    state: State | None = None
    for happened in stream.happened:
        state = evolve(state, happened)
    readable = len(stream.happened)
    return Folded(state, stream.positions[readable - 1] if readable else 0)


def complete(
    refolds: Iterable[Refold], states: Sequence[tuple[State, int]]
) -> Mapping[str, Sequence[Struct]]:
    """Return the rows that are complete once some streams more are taken, by table.

    Of each stream the last state, and since which position it has it.
    """
    return _by_table(
        chain.from_iterable(chain.from_iterable(starmap(refold.take, states)) for refold in refolds)
    )


def rest(parts: Sequence[Sequence[Refold]]) -> Mapping[str, Sequence[Struct]]:
    """Return the rows that are complete only once all parts of the log were taken, by table."""
    first, *others = parts
    for later in others:
        for refold, other in zip(first, later, strict=True):
            refold.join(other)
    return _by_table(row for refold in first for row in refold.rest())


def _by_table(rows: Iterable[TableRow]) -> Mapping[str, Sequence[Struct]]:
    """Return rows by their table."""
    found: defaultdict[str, list[Struct]] = defaultdict(list)
    for table, row in rows:
        found[table].append(row)
    return found
