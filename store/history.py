"""The events of one execution, read back as the domain knows them."""

from typing import Any
from uuid import UUID

from psycopg_pool import AsyncConnectionPool

from domain.events import Envelope
from store import mapper

_LOAD = """
SELECT stream_id, version, type, schema_version, occurred_at, actor, command_id, correlation_id,
       payload
FROM ledger.events WHERE stream_id = %s ORDER BY version"""


async def load(pool: AsyncConnectionPool[Any], execution_id: UUID) -> list[Envelope]:
    """Return the history of one execution in order. Raises `UnreadableEvent`."""
    async with pool.connection() as connection:
        rows = await (await connection.execute(_LOAD, [execution_id])).fetchall()
    return [_envelope(*row) for row in rows]


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
