"""The events of executions and jobs, read back as the domain knows them."""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from domain.events import Envelope
from domain.streams import State, evolve
from store import mapper
from store.mapper import UnreadableEvent

_LOAD = """
SELECT stream_id, version, type, schema_version, occurred_at, actor, command_id, correlation_id,
       payload
FROM ledger.events WHERE stream_id = %s ORDER BY version"""

_LOAD_SEVERAL = _LOAD.replace("= %s ORDER BY", "= ANY(%s::uuid[]) ORDER BY stream_id,")
# So many are folded without a pause, in which the event loop does nothing else.
_AT_ONCE: Final = 200


async def load(pool: AsyncConnectionPool[Any], execution_id: UUID) -> list[Envelope]:
    """Return the history of one execution in order. Raises `UnreadableEvent`."""
    async with pool.connection() as connection:
        rows = await (await connection.execute(_LOAD, [execution_id])).fetchall()
    return [_envelope(*row) for row in rows]


async def states(connection: AsyncConnection[Any], streams: Iterable[UUID]) -> dict[UUID, State]:
    """Return the states of several streams; those that cannot be read are left out."""
    asked = list(streams)
    found: dict[UUID, State | None] = {}
    unreadable: set[UUID] = set()
    for first in range(0, len(asked), _AT_ONCE):
        some = asked[first : first + _AT_ONCE]
        for row in await (await connection.execute(_LOAD_SEVERAL, [some])).fetchall():
            try:
                found[row[0]] = evolve(found.get(row[0]), _envelope(*row))
            except UnreadableEvent:
                unreadable.add(row[0])
    return {
        stream: state
        for stream, state in found.items()
        if state is not None and stream not in unreadable
    }


async def payloads(connection: AsyncConnection[Any], positions: list[int]) -> dict[int, bytes]:
    """Return what the events at these positions say, as it is stored."""
    rows = await connection.execute(
        "SELECT position, payload FROM ledger.events WHERE position = ANY(%s)", [positions]
    )
    return dict(await rows.fetchall())


def _envelope(
    stream_id: UUID, version: int, event_type: str, schema_version: int, *rest: Any
) -> Envelope:
    occurred_at, actor, command_id, correlation_id, payload = rest
    return Envelope(
        originator_id=stream_id,
        originator_version=version,
        at=occurred_at,
        actor=actor,
        command_id=command_id,
        correlation_id=correlation_id,
        event=mapper.decode(event_type, schema_version, payload, stream_id=stream_id),
    )
