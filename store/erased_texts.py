"""Which configurations and definitions are gone on purpose, by what all events say of each.

They are shared: one event erases such a text for every execution and job that names it, and a later
one of another stream may have brought it back. So the last position at which it was named is
compared with the last at which it was erased.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from psycopg import Connection

from domain.events import BodiesErased, Event
from domain.job_events import JobBodiesErased, JobChanged, JobCreated
from store.erasure import erased_texts

# A retry names what its original did, and brings nothing back.
_NAMED_BY_EXECUTIONS: Final = """
SELECT x.configuration, max(e.position)
FROM read.executions_1 x JOIN ledger.events e ON e.stream_id = x.id AND e.version = 1
WHERE x.configuration = ANY(%s) AND x.retry_of IS NULL
GROUP BY 1"""


class ErasedTexts:
    """Takes events in any order; keeps no more than people erased, and than jobs were changed."""

    def __init__(self) -> None:
        self._erased: dict[bytes, int] = {}
        self._named: dict[bytes, tuple[int, UUID]] = {}

    def take(self, position: int, stream_id: UUID, event: Event) -> None:
        """Take in one event, if it erases such a text or is a job that has one."""
        if isinstance(event, JobCreated | JobChanged):
            named = (position, stream_id)
            for body in (event.configuration, event.definition):
                digest = _digest(body.sha256)
                self._named[digest] = max(named, self._named.get(digest, named))
        elif isinstance(event, BodiesErased | JobBodiesErased):
            for text in erased_texts(event):
                digest = _digest(text)
                self._erased[digest] = max(position, self._erased.get(digest, 0))

    def take_executions(self, connection: Connection[Any]) -> None:
        """Take in which executions named again what was erased, as their read model tells."""
        if not self._erased:
            return
        for digest, position in connection.execute(_NAMED_BY_EXECUTIONS, [list(self._erased)]):
            if position > self._erased[digest]:
                del self._erased[digest]

    @property
    def gone(self) -> frozenset[bytes]:
        """The digests of those that were erased, and not named since."""
        never = (0, None)
        return frozenset(
            digest
            for digest, position in self._erased.items()
            if position > self._named.get(digest, never)[0]
        )

    @property
    def named_by_jobs(self) -> Mapping[bytes, UUID]:
        """All configurations and definitions that jobs ever had, and the stream of the job."""
        return {digest: stream for digest, (_, stream) in self._named.items()}


def _digest(text: str) -> bytes:
    """Return a digest; of an event that somebody edited it may be none, and then nobody's."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return text.encode("utf-8", "surrogatepass")
