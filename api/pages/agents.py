"""Agents: who is alive, and what they run."""

from datetime import timedelta
from typing import Final

from litestar import get
from litestar.types import ASGIApp
from msgspec import Struct

from api import parameters, wire
from api.ledger import Ledger, of
from api.pages import door, rendered, words
from api.pages.history import shared_of
from api.pages.rendered import Req
from domain import ids
from projections import overview
from projections.overview import KnownAgent
from store import configurations

_SECONDS: Final = 2.0
# A waiting claim lasts up to half a minute, and is written down a little later.
_ALIVE: Final = timedelta(seconds=60)
_RUNNING_SHOWN: Final = 20


class Running(Struct, frozen=True):
    """An execution that an agent holds."""

    id: str
    name: str
    since: str
    duration: str


class Sheet(Struct, frozen=True):
    """What the page shows of one agent."""

    agent_id: str
    alive: bool
    seen: str
    ago: str
    version: str
    labels: list[str]
    concurrency: int | None
    token_bound: bool
    running: list[Running]
    running_count: int


@get("/agents", exception_handlers={Exception: rendered.respond})
async def agents(request: Req) -> ASGIApp:
    """Show the agents, last seen first."""
    seen_by = await door.visitor(request)
    values = parameters.query(request, ("part", "after"))
    ledger = of(request)
    sheets = await shared_of(request).get("agents", _SECONDS, lambda: _sheets(ledger))
    return rendered.page(
        "agents.html",
        seen_by,
        block="list" if values.get("part") else None,
        here="/agents",
        sheets=sheets,
        alive=sum(sheet.alive for sheet in sheets),
    )


async def _sheets(ledger: Ledger) -> list[Sheet]:
    found = await overview.agents(ledger.pool)
    return [await _sheet(ledger, agent) for agent in found]


async def _sheet(ledger: Ledger, agent: KnownAgent) -> Sheet:
    now = wire.now()
    running = []
    for execution_id in agent.running[:_RUNNING_SHOWN]:
        view = await ledger.views.one(execution_id)
        if view is None:
            continue
        job = configurations.shown(view.texts.configuration)
        started = view.row.started_at or now
        running.append(
            Running(
                id=ids.to_text(ids.EXECUTION, execution_id),
                name=job.job_name or words.ERASED,
                since=wire.timestamp(started),
                duration=words.duration(round((now - started).total_seconds() * 1000)),
            )
        )
    return Sheet(
        agent_id=agent.agent_id,
        alive=now - agent.last_seen_at <= _ALIVE,
        seen=words.clock(agent.last_seen_at),
        ago=words.ago(agent.last_seen_at, now),
        version=agent.version or "",
        labels=agent.labels or [],
        concurrency=agent.concurrency,
        token_bound=agent.token_bound,
        running=running,
        running_count=agent.running_count,
    )


HANDLERS: Final = (agents,)
