"""Automatic retries: plans them as failures are recorded, carries them out when they are due."""

import logging
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from api import wire
from api.background import repeat, sparing
from api.ledger import Ledger
from api.waiting import heard
from domain import commands, ids
from domain.errors import Refusal
from domain.execution import Execution
from domain.job import CronJob
from domain.retrying import retry_at
from domain.streams import State
from projections import reactions
from store import following, history, planned_retries
from store.following import Connection, Follower, News, Span
from store.planned_retries import Noted, PlannedRetry
from store.work import Work

ACTOR: Final = "server:retry"
FAILED: Final = frozenset(
    {
        "execution.completed",
        "execution.timed_out",
        "execution.lost",
        "execution.not_started",
    }
)
_LATE: Final = "execution.outcome_reported_late"
_RETRIED: Final = "execution.retried"
_STOPPED: Final = frozenset({"job.paused", "job.deleted"})
_ENDED: Final = FAILED | {_LATE}
# What ends a plan.
_UNPLANNED: Final = _STOPPED | {_RETRIED, _LATE}

_log = logging.getLogger(__name__)


class Retrier:
    """Retries what failed, as its job says. Any number of servers may do so."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._news = ledger.waiting.bell()
        self._follower = Follower(ledger.pool, "retries", _note)
        self.retried = 0

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """Return what is to run as long as the server does."""
        return [repeat("retry plans", self.plan, 0.1), repeat("retries", self.retry, 0.5)]

    async def plan(self) -> None:
        """Wait for news, then plan what the log says by now."""
        await heard(self._news)
        async with sparing():
            await self._follower.follow()

    async def retry(self) -> None:
        """Carry out what is due, as far as the budget goes."""
        per_minute = self._ledger.settings.retries_per_minute
        for execution_id in await planned_retries.take(self._ledger.pool, per_minute):
            await self._retry(execution_id)
            # At this point the retry is recorded, or is not to be any more.
            await planned_retries.drop(self._ledger.pool, execution_id)

    async def _retry(self, execution_id: UUID) -> None:
        async with self._ledger.pool.connection() as connection:
            execution = (await history.states(connection, [execution_id])).get(execution_id)
            if not isinstance(execution, Execution):
                return
            stream = ids.job_stream(execution.job_id)
            job = (await history.states(connection, [stream])).get(stream)
        # Both may be others by now: paused, changed, retried by a person, ended well after all.
        if not _is_wanted(execution, job):
            return
        command = commands.Retry(
            at=wire.now(),
            by=ACTOR,
            command_id=self._ledger.new_id(),
            execution_id=execution_id,
            new_id=self._ledger.new_id(),
            automatic=True,
        )
        try:
            await self._ledger.appender.submit(Work(command, needed=execution.configuration.sha256))
        except Refusal as refusal:
            _log.info("no automatic retry of %s: %s", execution_id, refusal)
        else:
            self.retried += 1


def _is_wanted(execution: Execution, job: State | None) -> bool:
    ended = execution.completed_at
    if ended is None or not isinstance(job, CronJob):
        return False
    return retry_at(execution, job, ended) is not None


async def _note(connection: Connection, span: Span) -> int:
    """Write what a piece of the log leads to, and return up to which position."""
    jobs = await reactions.jobs_of(connection, span, _ENDED)
    states = await history.states(connection, [ids.job_stream(job_id) for job_id in jobs])
    retried = {
        one.job_id
        for one in states.values()
        if isinstance(one, CronJob) and one.plan.retry is not None
    }
    # Of a job that retries nothing no end needs to be read, which is most of what is recorded.
    types = _ENDED | _UNPLANNED if retried else _UNPLANNED
    found, noted_until = await following.news(connection, span, types)
    ended = [one.stream_id for one in found if one.type in _ENDED]
    if retried and ended:
        job_ids = await reactions.job_ids(connection, ended)
        wanted = [execution_id for execution_id, job_id in job_ids.items() if job_id in retried]
        states |= await history.states(connection, wanted)
    await planned_retries.note(connection, noted(found, states))
    return noted_until


def noted(news: Iterable[News], states: Mapping[UUID, State]) -> Noted:
    """Return what `news`, in order, lead to, given the states as they are by now. Pure."""
    result = Noted(set(), set(), {})
    for one in news:
        if one.type in _STOPPED:
            result.dropped_of_jobs.add(one.stream_id)
            for execution_id, known in list(result.planned.items()):
                if known.job_stream == one.stream_id:
                    del result.planned[execution_id]
        elif one.type in FAILED:
            if plan := _plan(one, states):
                result.planned[one.stream_id] = plan
        elif one.type == _RETRIED or (one.type == _LATE and _plan(one, states) is None):
            result.planned.pop(one.stream_id, None)
            result.dropped.add(one.stream_id)
    return result


def _plan(one: News, states: Mapping[UUID, State]) -> PlannedRetry | None:
    execution = states.get(one.stream_id)
    if not isinstance(execution, Execution):
        return None
    stream = ids.job_stream(execution.job_id)
    job = states.get(stream)
    at = retry_at(execution, job if isinstance(job, CronJob) else None, one.recorded_at)
    if at is None:
        return None
    return PlannedRetry(
        execution_id=execution.id,
        job_stream=stream,
        job_id=execution.job_id,
        attempt=execution.attempt + 1,
        retry_at=at,
    )
