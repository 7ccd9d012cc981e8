"""Sessions of the pages, and links that begin one: random secrets, stored as SHA-256."""

import secrets
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection, Connection

from store.tokens import CHANNEL, Token, digest

SESSION_HOURS: Final = 12
LINK_MINUTES: Final = 10
_FIND: Final = """
SELECT t.id, t.name, t.scopes, t.agent_id, t.created_at, least(t.expires_at, s.expires_at),
       t.revoked_at, t.last_used_at
FROM store.sessions s JOIN store.tokens t ON t.id = s.token_id
WHERE s.secret_sha256 = %b AND s.expires_at > now()"""


async def begin(connection: AsyncConnection[Any], token_id: UUID) -> str:
    """Begin a session of a token's owner; return its secret, the only time it can be seen."""
    secret = secrets.token_urlsafe(32)
    await connection.execute(
        "INSERT INTO store.sessions (secret_sha256, token_id, expires_at)"
        " VALUES (%b, %s, now() + %s)",
        [digest(secret), token_id, timedelta(hours=SESSION_HOURS)],
    )
    return secret


async def find(connection: AsyncConnection[Any], secret: str) -> Token | None:
    """Return the token of a session, which is good no longer than the session; None if it ended."""
    row = await (await connection.execute(_FIND, [digest(secret)])).fetchone()
    return Token(row[0], row[1], tuple(row[2]), *row[3:]) if row else None


async def end(connection: AsyncConnection[Any], secret: str) -> None:
    """End a session, and tell every server."""
    async with connection.transaction():
        await connection.execute(
            "DELETE FROM store.sessions WHERE secret_sha256 = %b", [digest(secret)]
        )
        await connection.execute("SELECT pg_notify(%s, 'a session')", [CHANNEL])
    # At this point the session has ended, and every server that listens is told.


async def forget(connection: AsyncConnection[Any]) -> None:
    """Drop sessions and links that are over."""
    await connection.execute("DELETE FROM store.sessions WHERE expires_at < now()")
    await connection.execute("DELETE FROM store.sign_in_links WHERE expires_at < now()")


def make_link(connection: Connection[Any], token_secret: str) -> str | None:
    """Return the secret of a new link that signs in with a token; None if that is not good."""
    secret = secrets.token_urlsafe(32)
    made = connection.execute(
        "INSERT INTO store.sign_in_links (secret_sha256, token_id, expires_at)"
        " SELECT %b, id, now() + %s FROM store.tokens WHERE token_sha256 = %b"
        " AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())",
        [digest(secret), timedelta(minutes=LINK_MINUTES), digest(token_secret)],
    )
    return secret if made.rowcount else None


async def use_link(connection: AsyncConnection[Any], secret: str) -> UUID | None:
    """Use up a link, and return the token that it is for; None if it is over, or used already."""
    cursor = await connection.execute(
        "DELETE FROM store.sign_in_links WHERE secret_sha256 = %b AND expires_at > now()"
        " RETURNING token_id",
        [digest(secret)],
    )
    row = await cursor.fetchone()
    return row[0] if row else None
