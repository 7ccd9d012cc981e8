"""Who may come in: sessions in a cookie, and what tells a person's click from a forged one."""

import hashlib
import hmac
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import UUID

from litestar import Request
from msgspec import Struct

from api import auth, parameters
from api.auth import Caller
from api.ledger import Ledger, of
from api.problems import Problem
from api.settings import Settings
from store import sessions
from store.tokens import Scope

Req = Request[Any, Any, Any]
HOME: Final = "/"
_FORM_BYTES_MAX: Final = 64 * 1024
_SAME: Final = {"same-origin", "none"}


class Visitor(Struct, frozen=True):
    """Who looks at a page. `form_token` goes into each form, and comes back with it."""

    caller: Caller
    form_token: str

    @property
    def may_operate(self) -> bool:
        """Whether to show what changes something."""
        return self.caller.may("operate")


class NotSignedIn(Problem):
    """Nobody is signed in here (any more); the page asks."""


def is_secure(settings: Settings) -> bool:
    """Tell whether browsers reach this server by TLS only."""
    return settings.tls_certificate is not None or settings.behind_tls_proxy


def cookie_name(settings: Settings, ledger_id: UUID) -> str:
    """Return the name of the session's cookie: cookies of one host are shared by all its ports."""
    name = f"cronledger-{ledger_id.hex[:8]}"
    return f"__Host-{name}" if is_secure(settings) else name


async def visitor(request: Req, scope: Scope = "read") -> Visitor:
    """Return who is signed in. Raises `NotSignedIn`, or `Problem` 403 without the scope."""
    ledger = of(request)
    secret = _session_of(request)
    if secret is None:
        raise NotSignedIn(401, "authentication_required", "Sign in to see this page.")
    try:
        caller = await ledger.authenticator.require_session(secret, scope)
    except Problem as problem:
        if problem.status == 401:  # noqa: PLR2004 - Unauthorized
            raise NotSignedIn(401, problem.code, problem.detail) from problem
        raise
    return Visitor(caller, _form_token(secret))


async def sender(request: Req, scope: Scope = "operate") -> tuple[Visitor, dict[str, str]]:
    """Return who sent a form, and its fields. Raises `Problem` 403 if it may be forged."""
    check_origin(request)
    found = await visitor(request, scope)
    fields = await form(request)
    if not hmac.compare_digest(fields.get("form_token", "").encode(), found.form_token.encode()):
        raise Problem(
            403, "forbidden", "This form is not from this session. Go back, reload, and try again."
        )
    return found, fields


def check_origin(request: Req) -> None:
    """Raise `Problem` 403 if a browser says that another site sent this."""
    site = parameters.header(request, "sec-fetch-site")
    origin = parameters.header(request, "origin")
    if site is not None:
        # The browser's own word, which no page can change, and no proxy makes wrong.
        is_ours = site in _SAME
    else:
        host = parameters.header(request, "host") or ""
        is_ours = origin is None or urlsplit(origin).netloc.lower() == host.lower()
    if not is_ours:
        raise Problem(403, "forbidden", "Another site sent this form: nothing was done.")


async def form(request: Req) -> dict[str, str]:
    """Return the fields of a form. Raises `Problem` 400, 413 or 415."""
    media_type = (parameters.header(request, "content-type") or "").partition(";")[0]
    if media_type.strip().lower() != "application/x-www-form-urlencoded":
        raise Problem(415, "unsupported_media_type", "Send this as a form of the pages does.")
    content = await parameters.raw_body(request)
    if len(content) > _FORM_BYTES_MAX:
        raise Problem(413, "payload_too_large", "This form is larger than any of the pages.")
    try:
        return dict(parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=20))
    except (UnicodeDecodeError, ValueError) as error:
        raise Problem(400, "validation_error", "This form cannot be read.") from error


async def begin(ledger: Ledger, token_id: UUID) -> str:
    """Begin a session; return the value of its Set-Cookie."""
    async with ledger.pool.connection() as connection:
        secret = await sessions.begin(connection, token_id)
    return _cookie(ledger, secret, sessions.SESSION_HOURS * 3600)


async def end(request: Req) -> str:
    """End the session of a request, if there is one; return what takes its cookie away."""
    ledger, secret = of(request), _session_of(request)
    if secret is not None:
        async with ledger.pool.connection() as connection:
            await sessions.end(connection, secret)
        ledger.authenticator.forget()
    return _cookie(ledger, "", 0)


def local(path: str | None) -> str:
    """Return `path` if it leads to a page of this server, else the first page: never elsewhere."""
    if path is None or not path.startswith("/") or path.startswith(("//", "/sign-")):
        return HOME
    # Browsers read a backslash as a slash, and leave out line breaks and tabs.
    if "\\" in path or not path.isprintable() or urlsplit(path).netloc:
        return HOME
    return quote(path, safe="/?&=%:+,~@!$'()*;-._")


def _cookie(ledger: Ledger, secret: str, seconds: int) -> str:
    name = cookie_name(ledger.settings, ledger.ledger_id)
    secure = "; Secure" if is_secure(ledger.settings) else ""
    return f"{name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


def _session_of(request: Req) -> str | None:
    ledger = of(request)
    return auth.cookie_value(request, cookie_name(ledger.settings, ledger.ledger_id))


def _form_token(secret: str) -> str:
    """Return what only pages of this session know; the session's secret is not in it."""
    return hashlib.sha256(b"form token of " + secret.encode()).hexdigest()[:32]
