"""Agents as their claims and heartbeats show them. Operational, not history."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from psycopg_pool import AsyncConnectionPool

from store import sql

FORGOTTEN_DAYS: Final = 30


class Traits(Struct, frozen=True):
    """What an agent says of itself when it claims."""

    version: str | None
    labels: tuple[str, ...]
    concurrency: int | None


class Seen(Struct, frozen=True):
    """An agent that was heard of. A heartbeat says nothing of its traits."""

    agent_id: str
    last_seen_at: datetime
    token_bound: bool
    traits: Traits | None = None


async def note(pool: AsyncConnectionPool[Any], seen: Iterable[Seen]) -> None:
    """Remember these agents."""
    rows = [
        {
            "agent_id": one.agent_id,
            "last_seen_at": one.last_seen_at,
            "token_bound": one.token_bound,
            **(msgspec.structs.asdict(one.traits) if one.traits is not None else {}),
        }
        for one in seen
    ]
    async with pool.connection() as connection:
        await connection.execute(
            sql.named("note_agents").encode(), {"seen": msgspec.json.encode(rows).decode()}
        )


async def forget(pool: AsyncConnectionPool[Any]) -> None:
    """Drop agents that nobody has heard of for long."""
    async with pool.connection() as connection:
        await connection.execute(
            "DELETE FROM store.agents WHERE last_seen_at < now() - make_interval(days => %s)",
            [FORGOTTEN_DAYS],
        )
