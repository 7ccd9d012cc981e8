"""Which agents were heard of lately: gathered in memory, so that no claim waits for it."""

from collections.abc import Callable
from typing import Final

from store.agents import Seen

# An agent that says something every moment is written no oftener than this.
_WRITTEN_SECONDS: Final = 5.0


class Presence:
    """Gathers who was heard of, and gives it out to be written, each agent now and then."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[str, Seen] = {}
        self._written: dict[str, float] = {}

    def note(self, seen: Seen) -> None:
        """Hear of an agent."""
        before = self._seen.get(seen.agent_id)
        if seen.traits is None and before is not None and before.traits is not None:
            seen = Seen(seen.agent_id, seen.last_seen_at, seen.token_bound, before.traits)
        self._seen[seen.agent_id] = seen

    def take_due(self) -> list[Seen]:
        """Return who is to be written now; they count as written."""
        now = self._clock()
        self._written = {
            agent_id: at for agent_id, at in self._written.items() if now - at < _WRITTEN_SECONDS
        }
        due = [seen for agent_id, seen in self._seen.items() if agent_id not in self._written]
        for seen in due:
            del self._seen[seen.agent_id]
            self._written[seen.agent_id] = now
        return due

    def put_back(self, taken: list[Seen]) -> None:
        """Take back what could not be written."""
        for seen in taken:
            self._written.pop(seen.agent_id, None)
            self._seen.setdefault(seen.agent_id, seen)
