"""Read models that are behind the log are brought up to it, by what changed since.

Old and new servers may run side by side, each writing its own versions of the read models. So a
server that hears under the append lock that others have recorded looks whether its versions came
along, and brings them up to the head before it goes on.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias
from uuid import UUID

from msgspec import Struct
from psycopg import Connection, pq
from psycopg_pool import AsyncConnectionPool

from domain.streams import State
from store import mapper, sql
from store.columns import Parameters
from store.roundtrip import RoundTrips, text_array
from store.states import KnownEvent, state_after

MOVE: Final = sql.named("move_projections")
STATEMENTS: Final = {
    b"move": MOVE,
    b"changed": sql.named("read_changed"),
    b"positions": sql.named("read_positions"),
}
# So many events a server folds while it holds the append lock; a rebuild is for more.
DISTANCE_MAX: Final = 5000
# One row at least, in one snapshot.
_STAND: Final = """
SELECT p.name, p.version, p.position, log.head
FROM (SELECT coalesce(max(position), 0) AS head FROM ledger.events) AS log
LEFT JOIN read.projections p ON true"""

# How far each version of each read model has come, by name and version.
Positions: TypeAlias = Mapping[tuple[str, int], int]


class Change(Struct, frozen=True, gc=False):
    """What became of one execution or job: before it, after it, and at which position last."""

    before: State | None
    after: State
    position: int


class Projection(Protocol):
    """A read model that is written in the transaction of the events."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def version(self) -> int:
        """Which version of it this is."""
        ...

    @property
    def statement(self) -> str:
        """What writes it."""
        ...

    def parameters(self, changes: Sequence[Change]) -> Parameters | None:
        """Return the statement's parameters for what a batch changed, None if that is nothing.

        They are in binary format, in which JSON is the same as in text.
        """
        ...


class OutOfStep(Exception):
    """A read model that nobody brings up while everybody waits.

    It is missing, or too far behind the log; or ahead of it, so that events are gone.
    """

    def __init__(self, one: Projection, position: int | None, head: int) -> None:
        at = "is not there" if position is None else f"stands at position {position}"
        lost = (
            "events that were recorded are gone. Restore the database as a whole, or "
            if position is not None and position > head
            else ""
        )
        super().__init__(
            f"The read model {one.name}, version {one.version}, {at}, and the log at {head}: "
            f"{lost}run `cronledger rebuild`."
        )


class ChangedEvent(KnownEvent, frozen=True, gc=False):
    """An event with its position."""

    position: int


def changes(events: Iterable[ChangedEvent], after: int) -> list[Change]:
    """Return what became of each stream after the position `after`.

    `events` are whole histories. Of a stream that cannot be read to its end, what can be read
    counts.
    """
    streams: dict[UUID, list[ChangedEvent]] = {}
    for event in events:
        streams.setdefault(event.stream_id, []).append(event)
    found = []
    for history in streams.values():
        history.sort(key=lambda event: event.version)
        change = _change(history, after)
        if change is not None:
            found.append(change)
    return found


def _change(history: list[ChangedEvent], after: int) -> Change | None:
    before: State | None = None
    state: State | None = None
    position = 0
    for event in history:
        following = state_after(state, event)
        if isinstance(following, mapper.UnreadableEvent):
            break
        if event.position <= after:
            before = following
        state, position = following, event.position
    return Change(before, state, position) if state is not None and position > after else None


def behind(
    projections: Iterable[Projection], positions: Positions, head: int
) -> list[tuple[Projection, int]]:
    """Return the read models that are behind the head, and where they stand.

    Raises `OutOfStep`.
    """
    found = []
    for one in projections:
        position = positions.get((one.name, one.version))
        if position is None or not head - DISTANCE_MAX <= position <= head:
            raise OutOfStep(one, position, head)
        if position < head:
            found.append((one, position))
    return found


def moved(names: bytes, head: int) -> tuple[bytes, ...]:
    """Return the parameters of `MOVE`: these read models, as `named`, have come to the head."""
    return b"%d" % head, names


def named(projections: Iterable[Projection]) -> bytes:
    """Return read models as `MOVE` names them."""
    return text_array(f"{one.name} {one.version}" for one in projections)


async def catch_up(
    trips: RoundTrips, projections: Mapping[bytes, Projection], positions: Positions, head: int
) -> bool:
    """Bring read models up to the head, under the append lock; tell whether one was behind.

    `projections` are named as their statements are on the connection. Raises `OutOfStep`.
    """
    late = behind(projections.values(), positions, head)
    for name, one in projections.items():
        for position in (at for other, at in late if other is one):
            between = (str(position).encode(), str(head).encode())
            trips.send(b"changed", between, result_format=pq.Format.BINARY)
            *_, found = await trips.answers()
            changed = changes(trips.rows(found, ChangedEvent), position)
            if (parameters := one.parameters(changed)) is not None:
                trips.send(name, parameters, binary=True)
    if late:
        trips.send(b"move", moved(named(one for one, _ in late), head))
    return bool(late)


async def are_behind(pool: AsyncConnectionPool[Any], projections: Iterable[Projection]) -> bool:
    """Tell whether one of the read models is behind the log. Raises `OutOfStep`."""
    async with pool.connection() as connection:
        rows = await (await connection.execute(_STAND)).fetchall()
    return bool(behind(projections, *_stand(rows)))


def stand(connection: Connection[Any]) -> tuple[Positions, int]:
    """Return how far each version of each read model has come, and the log."""
    return _stand(connection.execute(_STAND).fetchall())


def _stand(rows: Iterable[tuple[str | None, int, int, int]]) -> tuple[Positions, int]:
    rows = list(rows)
    positions = {(name, version): at for name, version, at, _ in rows if name is not None}
    return positions, rows[0][3]
