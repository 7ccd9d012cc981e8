"""The one place where the parts meet."""

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from litestar import Litestar
from litestar.datastructures import State
from litestar.middleware import DefineMiddleware

from api import methods
from api.auth import Authenticator
from api.background import Housekeeper, Listener, Sweeper, repeat
from api.bootstrap import WITNESS
from api.delivering import Deliverer
from api.direct import Direct
from api.feed import Tail
from api.follow import Followers
from api.ledger import Ledger
from api.metrics import Metrics
from api.notifying import Notifier
from api.pages import door, handlers, rendered
from api.pages.shared import Changes, Shared
from api.presence import Presence
from api.retention import Retention
from api.retrying import Retrier
from api.routes import (
    agents,
    creation,
    erasure,
    events,
    executions,
    jobs,
    logs,
    operations,
    overview,
    retries,
    schedule,
    statistics,
    webhooks,
)
from api.scheduler import Scheduler
from api.settings import Settings
from api.shown_rows import ShownLists
from api.waiting import Waiting
from domain.ids import Uuid7
from projections.lists import Lists
from projections.read_models import READ_MODELS
from projections.views import Views
from store import database
from store.appender import Appender
from store.changes import Projection
from store.configurations import Configurations
from store.keys import Keys
from store.work import Notice

HANDLERS: Final = (
    *executions.HANDLERS,
    *creation.HANDLERS,
    *events.HANDLERS,
    *overview.HANDLERS,
    *statistics.HANDLERS,
    *erasure.HANDLERS,
    *agents.HANDLERS,
    *logs.HANDLERS,
    *jobs.HANDLERS,
    *schedule.HANDLERS,
    *retries.HANDLERS,
    *webhooks.HANDLERS,
    *operations.HANDLERS,
)


def create_ledger(
    settings: Settings,
    conninfo: str,
    ledger_id: UUID,
    keys: Keys,
    read_models: Sequence[Projection] | None = None,
) -> Ledger:
    """Put a ledger together; nothing is connected yet. It writes all read models, or those."""
    waiting = Waiting()
    pool = database.pool(conninfo, size=settings.pool_size)
    views = Views(conninfo)
    lists = Lists(conninfo)
    kept = Configurations(pool)

    def hear(notice: Notice) -> None:
        kept.forget(notice.erased)
        waiting.hear(notice)

    appender = Appender(
        conninfo,
        ledger_id,
        READ_MODELS if read_models is None else read_models,
        sender=secrets.token_hex(8),
        lapses=settings.lapses,
        on_commit=hear,
        joining=waiting.joining,
        queue_max=settings.queue_max,
    )
    return Ledger(
        settings=settings,
        ledger_id=ledger_id,
        keys=keys,
        pool=pool,
        views=views,
        lists=lists,
        shown=ShownLists(lists),
        configurations=kept,
        appender=appender,
        authenticator=Authenticator(pool, door.cookie_name(settings, ledger_id)),
        waiting=waiting,
        followers=Followers(pool, views, waiting),
        tail=Tail(pool, waiting),
        presence=Presence(time.monotonic),
        # Ids need be unique, not secret: one seed from the system instead of a call for each.
        new_id=Uuid7(time.time_ns, random.Random(secrets.token_bytes(32)).getrandbits),  # noqa: S311
    )


@contextlib.asynccontextmanager
async def running(ledger: Ledger, conninfo: str, witness_path: Path) -> AsyncIterator[Metrics]:
    """Run a ledger: pool, writer, sweep, listener, housekeeping."""
    await ledger.pool.open(wait=True)
    await ledger.appender.start()
    sweeper = Sweeper(ledger)
    listener = Listener(ledger, conninfo, ledger.appender.sender)
    housekeeper = Housekeeper(ledger, witness_path)
    retention = Retention(ledger)
    scheduler = Scheduler(ledger)
    deliverer = Deliverer(ledger)
    reacting = (Retrier(ledger), Notifier(ledger), deliverer)
    # Leases are given their fresh period before the first request is answered.
    await sweeper.sweep()
    tasks = [
        asyncio.create_task(repeat("sweep", sweeper.sweep, ledger.settings.sweep_seconds)),
        asyncio.create_task(repeat("listener", listener.listen, 0.2)),
        asyncio.create_task(repeat("housekeeping", housekeeper.keep, 1)),
        asyncio.create_task(repeat("retention", retention.look, 1)),
        asyncio.create_task(repeat("schedule", scheduler.round, 0)),
        *(asyncio.create_task(task) for one in reacting for task in one.tasks()),
    ]
    try:
        yield Metrics(ledger, sweeper, scheduler)
    finally:
        await _ended(tasks)
        await deliverer.stop()
        # At this point nobody submits any more: what is queued is committed, then we are done.
        await ledger.appender.stop()
        await housekeeper.remember_head()
        await ledger.views.close()
        await ledger.lists.close()
        await ledger.pool.close()


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: a cancel may be forgotten that comes at a bad time."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=1)


def create_app(ledger: Ledger, conninfo: str) -> Any:
    """Return the ASGI application of a ledger."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with running(ledger, conninfo, ledger.settings.home / WITNESS) as metrics:
            app.state.metrics = metrics
            yield

    every = (*HANDLERS, *handlers.HANDLERS)
    return Litestar(
        route_handlers=[*methods.handlers(every), *every],
        lifespan=[lifespan],
        state=State({"shared": Shared(), "changes": Changes(ledger)}),
        openapi_config=None,
        middleware=[DefineMiddleware(Direct, ledger=ledger)],
        exception_handlers={Exception: rendered.respond_anywhere},
        logging_config=None,
        debug=False,
    )
