"""Access tokens made where `cronledger token` makes them: in the database of a running server."""

import secrets
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg

from api.bootstrap import DATABASE
from domain.ids import Uuid7
from store import tokens
from store.embedded import EmbeddedServer
from tests.support.server import ServerProcess

_new_id = Uuid7(time.time_ns, secrets.randbits)


def owner_conninfo(server: ServerProcess) -> str:
    """What the owner of a server's embedded database connects with."""
    return EmbeddedServer(server.home).conninfo(DATABASE)


def make_token(
    server: ServerProcess,
    *scopes: str,
    agent_id: str | None = None,
    expires_in: timedelta | None = None,
) -> tuple[UUID, str]:
    """Make a token; return its id and the token itself."""
    token_id = _new_id()
    with psycopg.connect(owner_conninfo(server), autocommit=True) as connection:
        secret = tokens.create(
            connection,
            token_id,
            "a test's",
            scopes,
            agent_id=agent_id,
            expires_at=None if expires_in is None else datetime.now(UTC) + expires_in,
        )
    return token_id, secret


def revoke_token(server: ServerProcess, token_id: UUID) -> None:
    """Revoke a token."""
    with psycopg.connect(owner_conninfo(server), autocommit=True) as connection:
        assert tokens.revoke(connection, token_id)
