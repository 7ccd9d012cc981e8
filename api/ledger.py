"""What the routes work with: the ledger's parts, and the few steps that several of them share."""

import time
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from litestar import Request
from msgspec import Struct
from msgspec.structs import replace
from psycopg_pool import AsyncConnectionPool

from api import parameters, rendering, wire
from api.auth import Authenticator, Caller
from api.problems import Problem, not_found
from api.settings import Settings
from api.waiting import Waiting
from domain import ids
from domain.errors import LeaseLost
from domain.events import Ending
from domain.execution import Execution, fold
from projections import executions, queries
from projections.queries import View
from projections.views import Views
from store import configurations, history, output
from store.appender import Appender
from store.keys import Keys
from store.work import IdempotencyKey


class Ledger(Struct, frozen=True):
    """One ledger, as a server serves it."""

    settings: Settings
    ledger_id: UUID
    keys: Keys
    pool: AsyncConnectionPool[Any]
    views: Views
    appender: Appender
    authenticator: Authenticator
    waiting: Waiting
    new_id: ids.Uuid7

    async def view(self, execution_id: UUID) -> View:
        """Return one execution. Raises `Problem` 404."""
        view = await self.views.one(execution_id)
        if view is None:
            raise not_found()
        return view

    async def state(self, execution_id: UUID) -> Execution | None:
        """Return the state of one execution, folded from its events."""
        return fold(await history.load(self.pool, execution_id))

    def clock(self) -> float:
        """Return a clock for waiting, in seconds; it never goes back."""
        return time.monotonic()

    def fence(self, request: Request[Any, Any, Any], execution_id: UUID) -> UUID:
        """Return which claim reports, by the header Lease-Token. Raises 400 or `LeaseLost`."""
        token = request.headers.get("lease-token")
        if not token:
            raise Problem(
                400,
                "validation_error",
                "Lease-Token: send the token of the lease that the claim answered.",
                fields=[("Lease-Token", "is required")],
            )
        fence = self.keys.fence(execution_id, token)
        if fence is None:
            raise LeaseLost(status="held by another claim")
        return fence

    def claimed(self, state: Execution, configuration: bytes, now: datetime) -> wire.Claimed:
        """Return an execution and its lease for the agent that runs it."""
        view = View(executions.row(state, 0), queries.Texts(configuration=configuration))
        job = configurations.opened(configuration, self.keys)
        if state.fence is None:
            raise LeaseLost(status=state.status)
        lease = wire.Lease(
            token=self.keys.lease_token(state.id, state.fence),
            expires_at=wire.timestamp(now + timedelta(seconds=self.settings.lease_seconds)),
            heartbeat_seconds=self.settings.heartbeat_seconds,
        )
        return wire.Claimed(rendering.claimed(view, job, now), lease)

    async def ending(self, view: View, ending: Ending) -> Ending:
        """Return `ending` with what is stored of the output."""
        texts, execution_id = view.texts, view.row.id
        return replace(
            ending,
            stdout=await output.digest(
                self.pool, execution_id, "stdout", texts.stdout, ending.stdout.written_sha256
            ),
            stderr=await output.digest(
                self.pool, execution_id, "stderr", texts.stderr, ending.stderr.written_sha256
            ),
        )


def of(request: Request[Any, Any, Any]) -> Ledger:
    """Return the ledger that this request is about."""
    ledger: Ledger = request.app.state.ledger
    return ledger


def check_agent(caller: Caller, agent_id: str) -> None:
    """Raise 403 if the caller's token is bound to another agent."""
    if caller.agent_id is not None and caller.agent_id != agent_id:
        raise Problem(
            403,
            "forbidden",
            f"This access token is bound to the agent {caller.agent_id}, not to {agent_id}.",
            fields=[("agent_id", f"must be {caller.agent_id}")],
        )


def key_of(
    request: Request[Any, Any, Any], caller: Caller, header: str, decoded: object
) -> IdempotencyKey | None:
    """Return under which key this request is made only once; None if it names none."""
    value = parameters.idempotency_key(request, header)
    if value is None:
        return None
    return IdempotencyKey(
        token_id=caller.token_id,
        key=f"{header}: {value}",
        fingerprint=parameters.fingerprint(request, decoded),
    )
