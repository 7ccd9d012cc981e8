"""Signing in with an access token or a one-time link, and out."""

from typing import Final

import psycopg
from litestar import get, post
from litestar.types import ASGIApp

from api import parameters
from api.answers import Answered
from api.ledger import of
from api.pages import door, rendered
from api.pages.rendered import Req
from api.problems import Problem
from store import sessions

_BECAUSE: Final = {
    "invalid_token": "Your session has ended: it was signed out, or its access token was revoked.",
    "token_expired": "Your session has expired.",
}


@get("/sign-in", exception_handlers={Exception: rendered.respond})
async def ask(request: Req) -> ASGIApp:
    """Ask for an access token; with a one-time link, only for a click."""
    values = parameters.query(request, ("next", "because", "key"))
    because = _BECAUSE.get(values.get("because", [""])[0], "")
    return _asking(
        onward=door.local(values.get("next", [door.HOME])[0]),
        because=because,
        key=values.get("key", [""])[0],
    )


@post("/sign-in", exception_handlers={Exception: rendered.respond})
async def sign_in(request: Req) -> ASGIApp:
    """Begin a session, and go on to where the visitor wanted to be."""
    ledger = of(request)
    door.check_origin(request)
    fields = await door.form(request)
    onward = door.local(fields.get("next"))
    if key := fields.get("key", ""):
        async with ledger.pool.connection() as connection:
            token_id = await sessions.use_link(connection, key)
        if token_id is None:
            return _asking(onward, "This link was used already, or is too old.", status=401)
    else:
        secret = fields.get("token", "").strip()
        try:
            caller = await ledger.authenticator.require_token(secret, "read")
        except Problem as problem:
            return _asking(onward, problem.detail, status=problem.status)
        token_id = caller.token_id
    cookie = await door.begin(ledger, token_id)
    return rendered.redirect(onward, {"Set-Cookie": cookie})


@post("/sign-out", exception_handlers={Exception: rendered.respond})
async def sign_out(request: Req) -> ASGIApp:
    """End the session."""
    await door.sender(request, "read")
    cookie = await door.end(request)
    return rendered.redirect("/sign-in", {"Set-Cookie": cookie})


def _asking(onward: str, because: str, *, key: str = "", status: int = 200) -> Answered:
    return rendered.page(
        "sign_in.html", None, status=status, onward=onward, because=because, key=key
    )


def link(conninfo: str, token: str) -> str | None:
    """Return the path of a new one-time link that signs in with a token; None if that is not good.

    For the process that starts the server. Raises psycopg's `OperationalError`.
    """
    with psycopg.connect(conninfo, autocommit=True) as connection:
        secret = sessions.make_link(connection, token)
    return None if secret is None else f"/sign-in?key={secret}"


HANDLERS: Final = (ask, sign_in, sign_out)
