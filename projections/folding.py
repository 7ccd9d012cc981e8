"""Streams folded into their last states, for rebuild."""

from typing import NamedTuple

from domain.streams import State, evolve
from store.log_streams import Stream, decoded
from store.mapper import UnreadableEvent


class Folded(NamedTuple):
    """The last state that can be read of a stream, since which position, and what stopped it."""

    state: State | None
    position: int = 0
    unreadable: UnreadableEvent | None = None


def fold(stream: Stream) -> Folded:
    """Return the last state of one stream."""
    one, events = stream
    state: State | None = None
    position = 0
    try:
        for event in events:
            state = evolve(state, decoded(one, event))
            position = event.position
    except UnreadableEvent as error:
        return Folded(state, position, error)
    return Folded(state, position, None)
