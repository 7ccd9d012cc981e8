"""Streams as the writer knows them: folded from what it reads, remembered for the next batch.

And which configurations are stored, so that a job that runs again and again does not write its own
each time.

What is remembered is good as of one position: under the append lock the writer first hears what
others have recorded since, and only then believes it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from domain.events import BodiesErased, Happened
from domain.job_events import JobBodiesErased
from domain.streams import State, evolve
from store import mapper

STATES_MAX: Final = 10_000
STORED_MAX: Final = 10_000
PASSED_OVER_MAX: Final = 1000
# What does not take a configuration away; of a newer version's events nobody here can tell.
_TAKES_NONE: Final = frozenset(mapper.SCHEMA_VERSIONS) - {
    str(event.__struct_config__.tag) for event in (BodiesErased, JobBodiesErased)
}


class KnownEvent(Struct, frozen=True, gc=False):
    """An event as the writer reads it."""

    stream_id: UUID
    version: int
    type: str
    schema_version: int
    occurred_at: datetime
    command_id: UUID
    payload: bytes


class States:
    """The executions and jobs that changed last, and the configurations that came last.

    All of it is good as of the last head that the writer saw.
    """

    def __init__(self, states_max: int = STATES_MAX) -> None:
        self._states: dict[UUID, State] = {}
        self._states_max = states_max
        self._stored: dict[str, None] = {}
        # Pending executions that cannot be read: so many more candidates are read for a claim.
        self.passed_over: set[UUID] = set()

    def get(self, stream_id: UUID) -> State | None:
        """Return the state of a stream, None if it is not known."""
        return self._states.get(stream_id)

    def is_stored(self, digest: str) -> bool:
        """Tell whether a configuration is known to be stored."""
        return digest in self._stored

    def forget(self) -> None:
        """Know nothing any more: the log may not be what it was."""
        self._states.clear()
        self._stored.clear()
        self.passed_over.clear()

    def pass_over(self, unreadable: Iterable[UUID]) -> bool:
        """Note candidates that cannot be read; False if all are known, or there are too many."""
        before = len(self.passed_over)
        if before < PASSED_OVER_MAX:
            self.passed_over.update(unreadable)
        return len(self.passed_over) > before

    def follow(self, news: Iterable[KnownEvent]) -> None:
        """Take in what others have recorded since, in order of position."""
        for row in news:
            if row.type not in _TAKES_NONE:
                self._stored.clear()
            if row.stream_id not in self._states:
                continue
            state = state_after(self._states[row.stream_id], row)
            if state is None or isinstance(state, mapper.UnreadableEvent):
                # The next one who asks reads the stream, and is told what is wrong with it.
                del self._states[row.stream_id]
            else:
                self._states[row.stream_id] = state

    def keep(self, states: Iterable[State], stored: Iterable[str], *, has_erased: bool) -> None:
        """Know these too, and these configurations; what came least lately is forgotten for them.

        `has_erased` says that configurations went with the same commit.
        """
        for state in states:
            self._states.pop(state.id, None)  # what changed last stands last
            self._states[state.id] = state
        while len(self._states) > self._states_max:
            del self._states[next(iter(self._states))]
        if has_erased:
            self._stored.clear()
        self._stored |= dict.fromkeys(stored)
        while len(self._stored) > STORED_MAX:
            del self._stored[next(iter(self._stored))]


def known_histories(
    known: Iterable[KnownEvent],
) -> tuple[dict[UUID, State | None], dict[UUID, str]]:
    """Fold what was read into states; streams that cannot be read come with the reason."""
    states: dict[UUID, State | None] = {}
    unreadable: dict[UUID, str] = {}
    for row in known:
        state = state_after(states.get(row.stream_id), row)
        if isinstance(state, mapper.UnreadableEvent):
            unreadable[row.stream_id] = str(state)
        else:
            states[row.stream_id] = state
    return states, unreadable


def state_after(state: State | None, row: KnownEvent) -> State | mapper.UnreadableEvent | None:
    """Return the state after one more event, or what is wrong with that one."""
    try:
        event = mapper.decode(row.type, row.schema_version, row.payload)
    except mapper.UnreadableEvent as error:
        return error
    happened = Happened(row.stream_id, row.version, row.occurred_at, row.command_id, event)
    return evolve(state, happened)
