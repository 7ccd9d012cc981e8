"""The facts of due times on which nothing ran, each in a stream of its own.

That stream is the one of the execution that would have been made, so that "made" and "not made" of
one due time exclude each other in the ledger. A stream of missed times may stand for several that
follow each other; it is that of the first.
"""

from datetime import datetime
from typing import Literal, TypeAlias, final
from uuid import UUID

from msgspec import Struct

MissedReason: TypeAlias = Literal["downtime", "start_deadline", "paused", "deleted"]
SkippedReason: TypeAlias = Literal["overlap", "queue_full"]


@final
class TimesMissed(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="schedule.missed"):
    """Due times passed while no server started anything, and are not made up for.

    These are all due times of the job from `first_due_at` to `last_due_at`; `count` says how many,
    None if they were too many to count.
    """

    job_id: str
    first_due_at: datetime
    last_due_at: datetime
    reason: MissedReason
    count: int | None = None


@final
class TimeSkipped(
    Struct, frozen=True, omit_defaults=True, tag_field="type", tag="schedule.skipped"
):
    """The job was due and, by its own policy, did not run: `blocked_by` was still active."""

    job_id: str
    due_at: datetime
    reason: SkippedReason
    blocked_by: UUID | None = None


DueEvent: TypeAlias = TimesMissed | TimeSkipped
