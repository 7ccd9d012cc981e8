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
from api.feed import Tail
from api.follow import Followers
from api.presence import Presence
from api.problems import Problem, not_found
from api.settings import Settings
from api.shown_rows import ShownLists
from api.waiting import Waiting
from domain import ids
from domain.errors import LeaseLost
from domain.events import Ending
from domain.execution import Execution, fold
from projections import executions, queries
from projections.lists import Lists
from projections.queries import Standing, View
from projections.views import Views
from store import configurations, history, leases, output
from store.appender import Appender
from store.configurations import Configurations
from store.keys import Keys
from store.work import Done, IdempotencyKey


class Ledger(Struct, frozen=True):
    """One ledger, as a server serves it."""

    settings: Settings
    ledger_id: UUID
    keys: Keys
    pool: AsyncConnectionPool[Any]
    views: Views
    lists: Lists
    shown: ShownLists
    configurations: Configurations
    appender: Appender
    authenticator: Authenticator
    waiting: Waiting
    followers: Followers
    tail: Tail
    presence: Presence
    new_id: ids.Uuid7

    async def view(self, execution_id: UUID) -> View:
        """Return one execution. Raises `Problem` 404."""
        view = await self.views.one(execution_id)
        if view is None:
            raise not_found()
        return view

    async def standing(self, execution_id: UUID) -> Standing:
        """Return how one execution stands. Raises `Problem` 404."""
        standing = await self.views.standing(execution_id)
        if standing is None:
            raise not_found()
        return standing

    async def state(self, execution_id: UUID) -> Execution | None:
        """Return the state of one execution, folded from its events."""
        return fold(await history.load(self.pool, execution_id))

    def clock(self) -> float:
        """Return a clock for waiting, in seconds; it never goes back."""
        return time.monotonic()

    async def fence(self, request: Request[Any, Any, Any], execution_id: UUID) -> UUID:
        """Return which claim reports, by the header Lease-Token. Raises 400, 404, `LeaseLost`."""
        token = parameters.header(request, "lease-token")
        if not token:
            raise Problem(
                400,
                "validation_error",
                "Lease-Token: send the token of the lease that the claim answered.",
                fields=[("Lease-Token", "is required")],
            )
        fence = self.keys.fence(execution_id, token)
        if fence is None:
            standing = await self.standing(execution_id)
            raise LeaseLost(status=standing.status)
        return fence

    async def leased(self, done: Done, *, at_birth: bool = False) -> wire.Claimed:
        """Return the execution that a claim got, and its lease; a repeated claim renews it.

        Raises `LeaseLost` if the execution was ended or given up meanwhile: to run it now would be
        to run it again. Who claimed it `at_birth` has run it already, and after we have given up on
        that agent it may still tell how it ended.
        """
        state = done.execution
        expires_at = wire.now() + timedelta(seconds=self.settings.lease_seconds)
        if done.replayed is not None:
            state = await self.state(done.replayed.execution_id)
        configuration = None
        if state is not None:
            configuration = await self.configurations.body(state.configuration.sha256)
        if state is None or configuration is None:
            raise LeaseLost(status="without its configuration, which was erased")
        may_report = state.status == "running" or (at_birth and state.observed_by == "server")
        if state.fence is None or not may_report:
            raise LeaseLost(status=state.status)
        if not done.changed and state.status == "running":
            renewed = await leases.renew(self.pool, state.id, state.fence, self.settings.lapses)
            if renewed is None and not at_birth:
                raise LeaseLost(status=state.status)
            if renewed is not None:
                expires_at = renewed.expires_at
        return self._claimed(state, state.fence, configuration, expires_at)

    def leased_now(self, done: Done) -> wire.Claimed | None:
        """Return the same of a claim that started something; None if that needs the database.

        What its own batch started runs: nothing can have ended it yet.
        """
        state = done.execution
        if state is None or state.fence is None or not done.changed:
            return None
        configuration = self.configurations.known(state.configuration.sha256)
        if configuration is None:
            return None
        expires_at = wire.now() + timedelta(seconds=self.settings.lease_seconds)
        return self._claimed(state, state.fence, configuration, expires_at)

    def _claimed(
        self, state: Execution, fence: UUID, configuration: bytes, expires_at: datetime
    ) -> wire.Claimed:
        view = View(executions.row(state, 0), queries.Texts(configuration=configuration))
        job = configurations.opened(configuration, self.keys)
        lease = wire.Lease(
            token=self.keys.lease_token(state.id, fence),
            expires_at=wire.timestamp(expires_at),
            heartbeat_seconds=self.settings.heartbeat_seconds,
            seconds=self.settings.lease_seconds,
        )
        return wire.Claimed(rendering.claimed(view, job, wire.now()), lease)

    async def ending(self, standing: Standing, ending: Ending) -> Ending:
        """Return `ending` with what is stored of the output."""
        (stdout, stderr), execution_id = standing.told, standing.id
        return replace(
            ending,
            stdout=await output.digest(
                self.pool, execution_id, "stdout", stdout, ending.stdout.written_sha256
            ),
            stderr=await output.digest(
                self.pool, execution_id, "stderr", stderr, ending.stderr.written_sha256
            ),
        )


def of(request: Request[Any, Any, Any]) -> Ledger:
    """Return the ledger that this request is about."""
    ledger: Ledger = parameters.ledger_of(request)
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
