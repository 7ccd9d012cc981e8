"""Who is asking, and what may they do: bearer tokens with scopes."""

import time
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import psycopg
from litestar import Request
from msgspec import Struct
from psycopg_pool import AsyncConnectionPool

from api import parameters
from api.problems import Problem
from domain import ids
from store import sessions, tokens
from store.tokens import Scope, Token

_CACHE_MAX: Final = 10_000
# However well revocations are heard, nothing is believed for longer than this.
_CACHE_SECONDS: Final = 30.0
_UNKNOWN: Final = "This access token is not known here."

# Whether it is a session of the pages, and the secret.
_Presented: TypeAlias = tuple[bool, str]


class Caller(Struct, frozen=True):
    """Who makes a request. `actor` is what events say of them."""

    token_id: UUID
    token_name: str
    actor: str
    scopes: frozenset[str]
    agent_id: str | None

    def may(self, scope: Scope) -> bool:
        """Tell whether the caller has `scope`; admin has them all."""
        return scope in self.scopes or "admin" in self.scopes


class Authenticator:
    """Finds tokens, and keeps those that were found while it is told of revocations."""

    def __init__(self, pool: AsyncConnectionPool[Any], cookie: str) -> None:
        self._pool = pool
        self._cookie = cookie
        self._cache: dict[_Presented, tuple[Token, Caller, float]] = {}
        self._used: dict[UUID, datetime] = {}
        self._listening = False
        self._generation = 0

    def trust_cache(self, *, listening: bool) -> None:
        """Say whether revocations are being heard; without them every request asks the database."""
        self.forget()
        self._listening = listening

    def forget(self) -> None:
        """Drop what is cached: some token changed."""
        self._generation += 1
        self._cache.clear()

    def take_used(self) -> dict[UUID, datetime]:
        """Return which tokens were used since the last call, and when."""
        used, self._used = self._used, {}
        return used

    async def require(self, request: Request[Any, Any, Any], scope: Scope) -> Caller:
        """Return the caller of `request`. Raises `Problem` 401 or 403."""
        return await self._admitted(_presented(request, self._cookie), scope)

    async def require_session(self, secret: str, scope: Scope) -> Caller:
        """Return who is signed in with this session. Raises `Problem` 401 or 403."""
        return await self._admitted((True, secret), scope)

    async def require_token(self, secret: str, scope: Scope) -> Caller:
        """Return whose access token this is. Raises `Problem` 401 or 403."""
        return await self._admitted((False, secret), scope)

    async def _admitted(self, presented: _Presented, scope: Scope) -> Caller:
        kept = self._cache.get(presented)
        if kept is None or kept[2] < time.monotonic():
            kept = await self._find(presented)
        token, caller, _ = kept
        now = datetime.now(UTC)
        if token.revoked_at is not None:
            raise _unauthorized("invalid_token", "This access token was revoked.")
        if token.expires_at is not None and token.expires_at <= now:
            raise _unauthorized(
                "token_expired", "This access token has expired; ask for a new one."
            )
        self._used[token.id] = now
        if not caller.may(scope):
            raise Problem(
                403,
                "forbidden",
                f"This access token lacks the scope {scope}; it has {', '.join(token.scopes)}.",
            )
        return caller

    async def still_allows(self, request: Request[Any, Any, Any], scope: Scope) -> bool:
        """Tell whether an answer that goes on and on may; while nobody can tell, it may."""
        try:
            await self.require(request, scope)
        except Problem:
            return False
        except psycopg.Error:
            pass
        return True

    async def _find(self, presented: _Presented) -> tuple[Token, Caller, float]:
        generation = self._generation
        is_session, secret = presented
        async with self._pool.connection() as connection:
            if is_session:
                token = await sessions.find(connection, secret)
            else:
                token = await tokens.find(connection, tokens.digest(secret))
        if token is None:
            known = "You are not signed in any more." if is_session else _UNKNOWN
            raise _unauthorized("invalid_token", known)
        found = token, _caller(token), time.monotonic() + _CACHE_SECONDS
        # What was read before a revocation was heard must not be kept after it.
        if self._listening and generation == self._generation and len(self._cache) < _CACHE_MAX:
            self._cache[presented] = found
        return found


def _caller(token: Token) -> Caller:
    kind = "agent" if token.agent_id else "operator"
    return Caller(
        token_id=token.id,
        token_name=token.name,
        actor=f"{kind}:{ids.to_text(ids.TOKEN, token.id)}",
        scopes=frozenset(token.scopes),
        agent_id=token.agent_id,
    )


def cookie_value(request: Request[Any, Any, Any], name: str) -> str | None:
    """Return the value of a cookie, None if it is absent."""
    for part in (parameters.header(request, "cookie") or "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name and value:
            return value
    return None


def _presented(request: Request[Any, Any, Any], cookie: str) -> _Presented:
    header = parameters.header(request, "authorization")
    if header is not None:
        scheme, _, secret = header.partition(" ")
        if scheme.lower() == "bearer" and secret.strip():
            return False, secret.strip()
        raise _unauthorized(
            "authentication_required", "The Authorization header must read: Bearer TOKEN."
        )
    if secret := (parameters.header(request, "x-api-key") or "").strip():
        return False, secret
    # What a browser adds by itself may read, and change nothing: pages have ways of their own.
    if request.method == "GET" and (session := cookie_value(request, cookie)) is not None:
        return True, session
    raise _unauthorized(
        "authentication_required",
        "An access token is required: send the header Authorization: Bearer TOKEN.",
    )


def _unauthorized(code: str, detail: str) -> Problem:
    return Problem(401, code, detail, headers={"WWW-Authenticate": 'Bearer realm="cronledger"'})
