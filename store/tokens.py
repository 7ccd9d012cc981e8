"""Access tokens: made once, shown once, stored as SHA-256."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, get_args
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection, Connection

Scope = Literal["read", "operate", "jobs", "agent", "admin"]
SCOPES: Final[tuple[str, ...]] = get_args(Scope)
CHANNEL: Final = "cronledger_tokens"
_COLUMNS: Final = "id, name, scopes, agent_id, created_at, expires_at, revoked_at, last_used_at"


class Token(Struct, frozen=True):
    """What is known of a token; never the token itself."""

    id: UUID
    name: str
    scopes: tuple[str, ...]
    agent_id: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


def new_secret() -> str:
    """Return a new token with 256 random bits."""
    return "clk_" + secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """Return what is stored of a token. It is random, so a plain hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def create(
    connection: Connection[Any],
    token_id: UUID,
    name: str,
    scopes: Sequence[str],
    *,
    agent_id: str | None = None,
    expires_at: datetime | None = None,
) -> str:
    """Make a token and return it: the only time it can be seen."""
    secret = new_secret()
    connection.execute(
        "INSERT INTO store.tokens (id, name, scopes, agent_id, token_sha256, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [token_id, name, list(scopes), agent_id, digest(secret), expires_at],
    )
    return secret


def any_exist(connection: Connection[Any]) -> bool:
    """Tell whether a token was ever made."""
    return connection.execute("SELECT 1 FROM store.tokens LIMIT 1").fetchone() is not None


def is_valid(connection: Connection[Any], secret: str, agent_id: str) -> bool:
    """Tell whether `secret` is a token of this agent that can be used."""
    found = connection.execute(
        "SELECT 1 FROM store.tokens WHERE token_sha256 = %s AND agent_id = %s"
        " AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())",
        [digest(secret), agent_id],
    )
    return found.fetchone() is not None


def everyone(connection: Connection[Any]) -> list[Token]:
    """Return all tokens, newest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM store.tokens ORDER BY id DESC"  # noqa: S608 - constant
    )
    return [Token(row[0], row[1], tuple(row[2]), *row[3:]) for row in rows]


def revoke(connection: Connection[Any], token_id: UUID) -> bool:
    """Revoke a token and tell every server; False if there is no such token."""
    with connection.transaction():
        done = connection.execute(
            "UPDATE store.tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = %s",
            [token_id],
        )
        connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(token_id)])
    # At this point the token is revoked, and every server that listens is told.
    return done.rowcount == 1


async def find(connection: AsyncConnection[Any], secret_digest: bytes) -> Token | None:
    """Return the token with this SHA-256."""
    cursor = await connection.execute(
        f"SELECT {_COLUMNS} FROM store.tokens WHERE token_sha256 = %b",  # noqa: S608 - constant
        [secret_digest],
    )
    row = await cursor.fetchone()
    return Token(row[0], row[1], tuple(row[2]), *row[3:]) if row else None


async def names(connection: AsyncConnection[Any]) -> dict[UUID, str]:
    """Return what every token is called, revoked ones too."""
    cursor = await connection.execute("SELECT id, name FROM store.tokens")
    return dict(await cursor.fetchall())


async def used(connection: AsyncConnection[Any], last_used: dict[UUID, datetime]) -> None:
    """Note when tokens were last used."""
    await connection.execute(
        "UPDATE store.tokens t SET last_used_at = u.at"
        " FROM unnest(%s::uuid[], %s::timestamptz[]) AS u (id, at)"
        " WHERE t.id = u.id AND (t.last_used_at IS NULL OR t.last_used_at < u.at)",
        [list(last_used), list(last_used.values())],
    )
