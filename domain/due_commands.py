"""What the scheduler asks of a job whose times have come."""

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from domain.due_events import MissedReason
from domain.job import CronJob
from domain.job_commands import AboutJob


class Due(Struct, frozen=True):
    """A due time at which the job runs, unless its policies forbid it.

    `job` is the job as it was then; `execution_id` follows from job and time (ids.execution_due).
    """

    execution_id: UUID
    due_at: datetime
    job: CronJob


class Missed(Struct, frozen=True):
    """Due times, one after the other, that are not made up for; `stream_id` is the first one's."""

    stream_id: UUID
    first_due_at: datetime
    last_due_at: datetime
    reason: MissedReason
    count: int | None = None


Verdict: TypeAlias = Due | Missed


class Settle(AboutJob, frozen=True):
    """Say of each due time after `settled_before`, up to `settled_until`, what becomes of it.

    It holds for the job at `expected_version`, if nobody has settled these times meanwhile. If the
    job `is_limited`, it matters what else is active.
    `look_at` is when the next time comes, None if none does.
    """

    expected_version: int
    settled_before: datetime
    settled_until: datetime
    look_at: datetime | None
    is_limited: bool = False
    verdicts: tuple[Verdict, ...] = ()


class Release(AboutJob, frozen=True):
    """Let an execution that is held go to the agents, if there is room for it now."""

    execution_id: UUID


DueCommand: TypeAlias = Settle | Release
