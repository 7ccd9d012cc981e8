"""Streams folded into their last states, for rebuild."""

from typing import NamedTuple

from domain.streams import State, evolve
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
