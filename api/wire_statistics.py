"""What travels over HTTP of statistics."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from api.wire import Timestamp


class EndedCounts(Struct):
    """How many ended with each final status."""

    success: int
    failed: int
    timeout: int
    canceled: int


class Durations(Struct):
    """How long those took that ran and were not canceled, in milliseconds.

    Percentiles come from classes of durations and are off by 12.5 % at most; `max` is exact.
    """

    p50: int | None
    p95: int | None
    max: int | None


class Summary(Struct):
    """What ended of the executions that were created in one interval.

    Without `job_id` of all jobs that were asked for, without `starts_at` of all time. The rate is
    that of successes among those that were not canceled; a failure is a failed or a timed-out one.
    """

    job_id: str | None
    starts_at: Timestamp | None
    ends_at: Timestamp | None
    ended: int
    by_status: EndedCounts
    success_rate: Annotated[float, Meta(ge=0, le=1)] | None
    duration_ms: Durations
    last_success_at: Timestamp | None
    last_failure_at: Timestamp | None


class Statistics(Struct):
    """Summaries, oldest interval first, then by job; intervals in which nothing ended are absent.

    An execution counts in the interval (UTC) in which it was created. `starts_at` and `ends_at` are
    what was asked for, from whole interval to whole interval.
    """

    interval: Literal["hour", "day", "all"]
    group_by: Literal["all", "job"]
    starts_at: Timestamp | None
    ends_at: Timestamp | None
    data: list[Summary]
