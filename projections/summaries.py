"""Statistics for people: how much ended how, and how long it took. From counters, never a scan."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct, field
from psycopg_pool import AsyncConnectionPool

from projections import durations, sql
from projections.totals import ALL_JOBS

Interval: TypeAlias = Literal["hour", "day", "all"]

# An answer has no more summaries than that, and is made of no more rows than that.
SUMMARIES_MAX: Final = 1000
_ROWS_MAX: Final = 100_000
_NOTHING_YET: Final = datetime.min.replace(tzinfo=UTC)
FAILURES: Final = ("failed", "timeout")
LENGTHS: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1)}


class TooMuch(Exception):
    """The answer would have too many parts; ask for fewer jobs or intervals, or longer ones."""


class Wanted(Struct, frozen=True):
    """What is asked: of which jobs, each by itself or together, in which intervals.

    `lowest` and `beyond` are beginnings of intervals; they mean nothing if the interval is `all`.
    """

    jobs: tuple[str, ...]
    interval: Interval
    by_job: bool
    lowest: datetime
    beyond: datetime


class Summary(Struct):
    """What ended in one interval, of one job or of several together."""

    job_id: str | None
    starts_at: datetime | None
    counts: dict[str, int] = field(default_factory=dict)
    last: dict[str, datetime] = field(default_factory=dict)
    classes: list[tuple[int, int]] = field(default_factory=list)
    duration_max_ms: int = 0

    def add(self, row: "_Row") -> None:
        """Add the executions of one status."""
        self.counts[row.status] = self.counts.get(row.status, 0) + row.count
        self.last[row.status] = max(self.last.get(row.status, _NOTHING_YET), row.last_at)
        # How long it took to be canceled says nothing of the job.
        if row.status != "canceled":
            self.classes += zip(row.classes, row.class_counts, strict=True)
            self.duration_max_ms = max(self.duration_max_ms, row.duration_max_ms)

    def percentile(self, share: float) -> int | None:
        """Return the duration that `share` of those that ran do not exceed, in milliseconds."""
        return durations.percentile(self.classes, share, self.duration_max_ms)

    @property
    def judged(self) -> int:
        """How many went well or ill; canceled ones are neither."""
        return sum(self.counts.get(one, 0) for one in ("success", *FAILURES))

    @property
    def success_rate(self) -> float | None:
        """Which share of these went well; None if there are none."""
        return self.counts.get("success", 0) / self.judged if self.judged else None

    def last_of(self, statuses: Iterable[str]) -> datetime | None:
        """Return when one last ended with any of these statuses."""
        return max((self.last[one] for one in statuses if one in self.last), default=None)


class _Row(Struct, frozen=True):
    starts_at: datetime | None
    job_id: str
    status: str
    count: int
    duration_max_ms: int
    last_at: datetime
    classes: list[int]
    class_counts: list[int]


def beginning(moment: datetime, interval: Interval) -> datetime:
    """Return the beginning of the interval (UTC) that `moment` is in."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour.replace(hour=0) if interval == "day" else hour


def wanted(
    jobs: Sequence[str],
    interval: Interval,
    *,
    by_job: bool,
    lowest: datetime,
    beyond: datetime,
) -> Wanted:
    """Return what is asked, from whole interval to whole interval. Raises `TooMuch`."""
    if interval == "all":
        return Wanted(tuple(jobs), interval, by_job, lowest, beyond)
    length = LENGTHS[interval]
    lowest = beginning(lowest, interval)
    beyond = beginning(beyond + length - timedelta(microseconds=1), interval)
    # Of each job there is: the number of jobs is seen when they are read.
    times = max(1, len(jobs)) if by_job else 1
    if max(0, (beyond - lowest) // length) * times > SUMMARIES_MAX:
        raise TooMuch
    return Wanted(tuple(jobs), interval, by_job, lowest, beyond)


async def ever(pool: AsyncConnectionPool[Any], jobs: Sequence[str]) -> dict[str, Summary]:
    """Return the summary of all that ever ended of each job, for at most 1,000 jobs."""
    if not jobs:
        return {}
    asked = Wanted(tuple(jobs), "all", by_job=True, lowest=_NOTHING_YET, beyond=_NOTHING_YET)
    return {str(one.job_id): one for one in await read(pool, asked)}


async def read(pool: AsyncConnectionPool[Any], asked: Wanted) -> list[Summary]:
    """Return the summaries of all intervals in which something ended, oldest first, then by job.

    Raises `TooMuch`.
    """
    which = "each_job" if asked.by_job and not asked.jobs else "some_jobs"
    kind = "ever" if asked.interval == "all" else "intervals"
    source = sql.named(f"statistics_of_{which}_{kind}").format(interval=asked.interval)
    parameters = {
        "lowest": asked.lowest,
        "beyond": asked.beyond,
        "jobs": list(asked.jobs or (ALL_JOBS,)),
        "rows_max": _ROWS_MAX,
    }
    async with pool.connection() as connection:
        cursor = connection.cursor(binary=True)
        statement = sql.named("read_statistics").format(source=source)
        await cursor.execute(statement.encode(), parameters)
        rows = [_Row(*columns) for columns in await cursor.fetchall()]
    if sum(len(row.classes) for row in rows) >= _ROWS_MAX:
        raise TooMuch
    summaries: dict[tuple[datetime | None, str | None], Summary] = {}
    for row in rows:
        place = row.starts_at, row.job_id if asked.by_job else None
        if place not in summaries:
            summaries[place] = Summary(place[1], place[0])
        summaries[place].add(row)
    if len(summaries) > SUMMARIES_MAX:
        raise TooMuch
    return list(summaries.values())
