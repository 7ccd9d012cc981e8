"""Operations: health, metrics, and the description of the API itself."""

import asyncio
from typing import Any, Final

import psycopg
from litestar import Request, get
from litestar.types import ASGIApp
from psycopg_pool import PoolTimeout

from api import answers, docs, openapi, wire
from api.answers import Answered
from api.ledger import of

Req = Request[Any, Any, Any]


@get("/health/live")
async def live(_request: Req) -> ASGIApp:
    """Tell that this process answers."""
    return answers.json(wire.Health("ok", "the server answers"))


@get("/health/ready")
async def ready(request: Req) -> ASGIApp:
    """Tell whether this server can record and read: its database answers, and holds the log."""
    ledger = of(request)
    try:
        async with asyncio.timeout(3), ledger.pool.connection(timeout=2) as connection:
            await connection.execute("SELECT 1")
    except (psycopg.Error, PoolTimeout, TimeoutError, OSError):
        health = wire.Health("unavailable", "the database does not answer")
        return answers.json(health, 503, {"Retry-After": "1"})
    if ledger.appender.stopped:
        detail = "nothing can be recorded: the server's log says what is wrong"
        return answers.json(wire.Health("unavailable", detail), 503, {"Retry-After": "1"})
    return answers.json(wire.Health("ok", "the database answers"))


@get("/metrics")
async def metrics(request: Req) -> ASGIApp:
    """Return figures for Prometheus."""
    await of(request).authenticator.require(request, "read")
    text: str = await request.app.state.metrics.text()
    return Answered(text.encode(), media_type="text/plain; version=0.0.4; charset=utf-8")


@get(["/schema", "/schema/openapi.json"])
async def schema(_request: Req) -> ASGIApp:
    """Return the OpenAPI description of this API."""
    return answers.json(openapi.document())


@get("/docs")
async def documentation(_request: Req) -> ASGIApp:
    """Return the description of this API for people."""
    return Answered(
        docs.page(),
        media_type="text/html; charset=utf-8",
        headers={
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
            "X-Content-Type-Options": "nosniff",
        },
    )


HANDLERS: Final = (live, ready, metrics, schema, documentation)
