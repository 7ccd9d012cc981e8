"""From litestar's router to the handler, and from its answer to the connection."""

from typing import Any

from litestar import Request
from litestar.types import ASGIApp, Receive, Scope, Send

from api.ledger import Ledger


class Direct:
    """Calls the handler that litestar's router has chosen, and sends what it returns.

    Every handler here takes the request and returns its answer, an ASGI application. What else
    litestar can do for handlers (arguments, dependencies, hooks, responses, caches) it prepares
    for each request anew, and that costs as much as a handler. This middleware stands in its place.
    """

    def __init__(self, app: ASGIApp, ledger: Ledger) -> None:  # noqa: ARG002 - litestar's
        """Take the place of `app`, which is litestar's way to call the handler."""
        self._ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, which is about the ledger (see `api.ledger.of`)."""
        about: Any = scope
        about["ledger"] = self._ledger
        answer: ASGIApp = await about["route_handler"].fn(Request(scope, receive, send))
        await answer(scope, receive, send)
