"""What travels about due times on which nothing ran."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from api import wire
from domain.due_events import MissedReason, SkippedReason


class PassedTime(Struct):
    """Due times of a job, from `first_due_at` to `last_due_at`, on which nothing ran.

    Missed: nobody started it in time (`downtime`: no server ran, or none before what it was to run
    was erased; `start_deadline`: it was too late then; `paused`, `deleted`: by then the job was),
    and it is not made up for. Skipped: the job's own policy says so (`overlap`: `blocked_by` was
    still active; `queue_full`: too many waited).
    """

    job_id: str
    job_name: str | None
    kind: Literal["missed", "skipped"]
    reason: MissedReason | SkippedReason
    first_due_at: wire.Timestamp
    last_due_at: wire.Timestamp
    count: Annotated[
        int | None, Meta(description="How many times, null if they were too many to count")
    ]
    blocked_by: wire.ExecutionId | None
    recorded_at: wire.Timestamp
    position: Annotated[int, Meta(description="Where the event stands in the ledger")]


class PassedTimeList(Struct):
    """What was recorded last, first; `next_before` is where the next page begins."""

    data: list[PassedTime]
    next_before: int | None
