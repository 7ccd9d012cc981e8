"""Streams folded into the last state of each execution, for rebuild and verify."""

from typing import NamedTuple

from domain.execution import Execution, evolve
from store.changes import EXECUTIONS
from store.log_streams import Stream, decoded
from store.mapper import UnreadableEvent


class Folded(NamedTuple):
    """The last state that can be read of an execution, since which position, and what stopped it.

    No state if there is none, or the stream is of another kind.
    """

    state: Execution | None
    position: int = 0
    unreadable: UnreadableEvent | None = None


def fold(stream: Stream) -> Folded:
    """Return the last state of one stream."""
    state, position = None, 0
    if not stream.events[0].type.startswith(EXECUTIONS):
        return Folded(None)
    for event in stream.events:
        try:
            state = evolve(state, decoded(stream.id, event))
        except UnreadableEvent as error:
            return Folded(state, position, error)
        position = event.position
    return Folded(state, position)
