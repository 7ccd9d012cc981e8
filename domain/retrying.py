"""Automatic retries: which failures qualify, and when the next attempt is due. Pure."""

from datetime import datetime, timedelta
from typing import Final

from domain import errors
from domain.execution import RETRYABLE, Execution
from domain.job import CronJob
from domain.job_events import RetryPlan

# So much longer than its plan says a retry may wait, so that many failures of one moment spread.
JITTER: Final = 0.1
# What ended so long before we heard of it is history, and no longer something to be made up for.
STALE: Final = timedelta(hours=1)


def retry_at(state: Execution, job: CronJob | None, heard_at: datetime) -> datetime | None:
    """Return when `state` is tried again by itself, None if it is not.

    `heard_at` is when its end was recorded, by the database's clock.
    """
    if job is None or job.status != "enabled" or job.plan.retry is None:
        return None
    plan = job.plan.retry
    if state.attempt > plan.max_retries or state.retried_as is not None:
        return None
    if not _qualifies(plan, state) or _is_done_with(state):
        return None
    if state.completed_at is None or heard_at - state.completed_at > STALE:
        return None
    wait = wait_seconds(plan, state.attempt)
    return heard_at + timedelta(seconds=wait * (1 + JITTER * _chance(state)))


def wait_seconds(plan: RetryPlan, attempt: int) -> int:
    """Return how long after the failure of its `attempt`-th try (1, 2, …) a run is tried again."""
    given = plan.intervals_seconds
    if attempt <= len(given):
        return given[attempt - 1]
    grown = given[-1] * plan.backoff_factor ** (attempt - len(given))
    return int(min(grown, max(plan.interval_seconds_max, given[-1])))


def check(state: Execution | None) -> None:
    """Refuse an automatic retry of what was retried already, or needs none.

    Raises `NeedsNoRetry`. Called under the append lock, so that there is one at most.
    """
    if state is not None and (state.retried_as is not None or _is_done_with(state)):
        raise errors.NeedsNoRetry


def _is_done_with(state: Execution) -> bool:
    """Tell whether a failure is none to make up for: somebody canceled it, or it went well.

    An agent that was held for lost may have said so later.
    """
    if state.cancel_requested_at is not None:
        return True
    late = state.late
    return late is not None and (
        late.outcome == "canceled" or (late.outcome == "exited" and late.ending.exit_code == 0)
    )


def _qualifies(plan: RetryPlan, state: Execution) -> bool:
    if state.status not in RETRYABLE:
        return False
    reason = "timeout" if state.status == "timeout" else state.failure_reason or "exit_code"
    if reason not in plan.on:
        return False
    if reason != "exit_code" or not plan.exit_codes or state.ending is None:
        return True
    return state.ending.exit_code in plan.exit_codes


def _chance(state: Execution) -> float:
    """Return a number from 0 to 1 that is always the same for this execution: its random bits."""
    return (state.id.int & 0xFFFFFFFF) / (1 << 32)
