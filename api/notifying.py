"""Notifications: notes, as the log grows and as runs stay out, what is to be told to whom."""

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from api import wire
from api.background import repeat, sparing
from api.ledger import Ledger
from api.retrying import FAILED as FINAL
from api.waiting import heard
from domain import ids
from domain.execution import Execution
from domain.job import CronJob
from domain.streams import State
from projections import overview, reactions
from store import configurations, definitions, deliveries, following, history, webhooks
from store.definitions import Targets
from store.following import Connection, Follower, News, Span
from store.webhooks import Webhook

FAILURES: Final = frozenset({"failed", "timeout"})
MISSED_SECONDS: Final = 10.0
# What was recorded before that, while no server ran or on another ledger, is no news any more.
_NEWS_LASTS: Final = timedelta(days=1)
_PASSED: Final = "schedule.missed"
# Whoever paused or deleted a job knows that it does not run.
_TOLD_REASONS: Final = frozenset({"downtime", "start_deadline"})


class Overdue(Struct, frozen=True):
    """A time at which a job should have run.

    Of several that passed together it is the last, `first_due_at` the first, and `count` how many.
    `reason` is the ledger's, or None where only the run is missing.
    """

    due_at: str
    expected_schedule: str | None
    expected_timezone: str | None
    first_due_at: str | None = None
    count: int | None = None
    reason: str | None = None


class _Passed(Struct):
    """What the event of due times that passed says of them."""

    job_id: str
    first_due_at: datetime
    last_due_at: datetime
    reason: str
    count: int | None = None


class Subject(Struct, frozen=True, omit_defaults=True):
    """What a message is about: enough to make its text when it is sent."""

    job_id: str | None = None
    job_name: str | None = None
    execution_id: UUID | None = None
    previous_status: str | None = None
    missed: Overdue | None = None


class Audience:
    """Who hears of what: the webhooks, and the addresses that jobs name."""

    def __init__(
        self,
        ledger: Ledger,
        connection: Connection,
        everyone: Sequence[Webhook],
        jobs: Mapping[UUID, State],
        named: Mapping[str, Targets],
    ) -> None:
        self._ledger = ledger
        self._connection = connection
        self._everyone = everyone
        self._jobs = jobs
        self._named = named

    def may_hear(self, event: str, job_id: str) -> bool:
        """Tell whether anybody wants to hear of `event` of this job."""
        tags, targets = self._of(job_id)
        hears = any(one.hears(event, tags) for one in self._everyone)
        return hears or bool(getattr(targets, f"on_{event}"))

    async def tell(self, event: str, job_id: str, said: str, subject: Subject) -> None:
        """Note `subject` for all who want to hear; `said` tells this event from all others."""
        tags, targets = self._of(job_id)
        hearing = {one.id for one in self._everyone if one.hears(event, tags)}
        for address in getattr(targets, f"on_{event}"):
            hearing.add(await webhooks.of_address(self._connection, self._ledger.keys, address))
        event_id = uuid5(self._ledger.ledger_id, f"{event} {said}")
        text = msgspec.json.encode(subject).decode()
        for webhook_id in hearing:
            await deliveries.note(self._connection, webhook_id, event_id, event, text)

    def job(self, job_id: str) -> CronJob | None:
        """Return the job, None if it is none that is defined."""
        job = self._jobs.get(ids.job_stream(job_id))
        return job if isinstance(job, CronJob) and job.status != "deleted" else None

    async def name(self, job_id: str) -> str | None:
        """Return what the job is called, None if that is not known (any more)."""
        job = self.job(job_id)
        if job is None:
            return None
        digests = {job_id: job.configuration.sha256}
        body = (await definitions.bodies(self._connection, digests)).get(job_id)
        return configurations.shown(body).job_name or None

    def _of(self, job_id: str) -> tuple[tuple[str, ...], Targets]:
        job = self.job(job_id)
        return job.plan.tags if job else (), self._named.get(job_id, Targets())


class Notifier:
    """Notes what is to be told. Any number of servers may do so."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._news = ledger.waiting.bell()
        self._follower = Follower(ledger.pool, "notifications", self._note)

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """Return what is to run as long as the server does."""
        return [
            repeat("notifications", self.follow, 0.1),
            repeat("missed runs", self.look_for_missed, MISSED_SECONDS),
        ]

    async def follow(self) -> None:
        """Wait for news, then note what the log says by now."""
        await heard(self._news)
        async with sparing():
            await self._follower.follow()

    async def look_for_missed(self) -> None:
        """Note, once for each due time, which jobs did not run when they were expected."""
        found = await overview.missed(self._ledger.pool, wire.now())
        if not found:
            return
        async with self._ledger.pool.connection() as connection, connection.transaction():
            fresh = await deliveries.not_told(
                connection, [(one.job_id, one.due_at) for one in found]
            )
            audience = await self._audience(connection, fresh)
            for one in found:
                if one.job_id not in fresh:
                    continue
                due_at = wire.timestamp(one.due_at)
                missed = Overdue(due_at, one.schedule, one.time_zone)
                subject = Subject(one.job_id, one.job_name, missed=missed)
                await audience.tell("missed", one.job_id, f"{one.job_id} {due_at}", subject)

    async def _note(self, connection: Connection, span: Span) -> int:
        since = wire.now() - _NEWS_LASTS
        audience, heard_of = await self._hearing(connection, span)
        # Of a job of which nobody hears no end needs to be read, which is most of what is recorded.
        types = FINAL | {_PASSED} if heard_of else {_PASSED}
        found, noted_until = await following.news(connection, span, types)
        recent = [one for one in found if one.recorded_at > since]
        await self._note_passed(connection, [one for one in recent if one.type == _PASSED])
        ended = [one for one in recent if one.type != _PASSED]
        if not ended:
            return noted_until
        job_ids = await reactions.job_ids(connection, [one.stream_id for one in ended])
        wanted = [one for one in ended if job_ids.get(one.stream_id) in heard_of]
        states = await history.states(connection, [one.stream_id for one in wanted])
        for one in wanted:
            state = states.get(one.stream_id)
            if isinstance(state, Execution):
                await _tell_end(connection, audience, one, state)
        return noted_until

    async def _hearing(self, connection: Connection, span: Span) -> tuple[Audience, set[str]]:
        """Return who hears of the jobs whose executions ended there, and of which anybody does."""
        jobs = await reactions.jobs_of(connection, span, FINAL)
        audience = await self._audience(connection, jobs)
        events = ("failure", "success", "recovery")
        heard_of = {job for job in jobs if any(audience.may_hear(one, job) for one in events)}
        return audience, heard_of

    async def _note_passed(self, connection: Connection, found: list[News]) -> None:
        """Note due times of which the scheduler says that nothing ran."""
        if not found:
            return
        payloads = await history.payloads(connection, [one.position for one in found])
        passed = {
            position: one
            for position, payload in payloads.items()
            if (one := msgspec.json.decode(payload, type=_Passed)).reason in _TOLD_REASONS
        }
        audience = await self._audience(connection, {one.job_id for one in passed.values()})
        for position, one in sorted(passed.items()):
            job = audience.job(one.job_id)
            missed = Overdue(
                due_at=wire.timestamp(one.last_due_at),
                expected_schedule=job.plan.cron if job else None,
                expected_timezone=job.plan.timezone if job else None,
                first_due_at=wire.timestamp(one.first_due_at),
                count=one.count,
                reason=one.reason,
            )
            subject = Subject(one.job_id, await audience.name(one.job_id), missed=missed)
            await audience.tell("missed", one.job_id, str(position), subject)

    async def _audience(self, connection: Connection, job_ids: Iterable[str]) -> Audience:
        everyone = await webhooks.everyone(connection, self._ledger.keys)
        streams = [ids.job_stream(job_id) for job_id in job_ids]
        jobs = await history.states(connection, streams)
        bodies = await definitions.bodies(
            connection,
            {
                one.job_id: one.definition.sha256
                for one in jobs.values()
                if isinstance(one, CronJob) and one.status != "deleted"
            },
        )
        named = {
            job_id: definitions.opened(body, self._ledger.keys).notify
            for job_id, body in bodies.items()
        }
        return Audience(self._ledger, connection, everyone, jobs, named)


async def _tell_end(
    connection: Connection, audience: Audience, one: News, state: Execution
) -> None:
    event: Literal["failure", "success"] = "failure" if state.status in FAILURES else "success"
    before = None
    if audience.may_hear(event, state.job_id) or audience.may_hear("recovery", state.job_id):
        before = await reactions.status_before(connection, state.job_id, state.id)
    subject = Subject(state.job_id, execution_id=state.id, previous_status=before)
    said = str(one.position)
    await audience.tell(event, state.job_id, said, subject)
    if event == "success" and before in FAILURES:
        await audience.tell("recovery", state.job_id, said, subject)
