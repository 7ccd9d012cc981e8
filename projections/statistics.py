"""The read model behind statistics: what ended, by hour, by day and in all; of each job and of all.

An execution counts in the interval in which it was created, as in lists, and from when it has
ended: what has ended never changes its status again, so that rows only ever grow.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeAlias

from msgspec import Struct

from domain import ids
from domain.execution import Execution
from domain.streams import State
from projections import durations, sql
from projections.totals import ALL_JOBS
from store.changes import Change
from store.columns import Columns, Parameters

HOURS: Final = "statistics_hours_1"
DAYS: Final = "statistics_days_1"
EVER: Final = "statistics_ever_1"
_HOUR_MS: Final = 3_600_000
_STATEMENT: Final = sql.named("add_statistics")
_COLUMNS: Final = Columns(_STATEMENT)

_Key: TypeAlias = tuple[Any, ...]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class EverRow(Struct, frozen=True, gc=False):
    """One row of ``read.statistics_ever_1``: so many ended so, and took about so long."""

    job_id: str
    status: str
    duration_class: int
    count: int
    duration_max_ms: int
    last_at: datetime


class IntervalRow(Struct, frozen=True, gc=False):
    """One row of ``read.statistics_hours_1`` or ``_days_1``: the same of one interval."""

    starts_at: datetime
    job_id: str
    status: str
    duration_class: int
    count: int
    duration_max_ms: int
    last_at: datetime


class _Sum:
    """Rows of one table that are being added up, by their primary key."""

    def __init__(self, table: str, row: type[Struct]) -> None:
        self._table = table
        self._row = row
        self._sums: dict[_Key, tuple[int, int, datetime]] = {}
        # Those of the first interval, in which the executions of an earlier pass may count too.
        self._held: dict[_Key, tuple[int, int, datetime]] | None = None

    def add(self, key: _Key, milliseconds: int, at: datetime, count: int) -> None:
        """Add so many executions."""
        before, highest, last = self._sums.get(key, (0, 0, at))
        self._sums[key] = (before + count, max(highest, milliseconds), max(last, at))

    def rows(self) -> list[Struct]:
        """Return the rows in order of their primary key."""
        return [self._row(*key, *self._sums[key]) for key in sorted(self._sums)]

    def take_before(self, starts_at: datetime) -> Iterable[tuple[str, Struct]]:
        """Return, and forget, the rows if they are of an interval before this one.

        Those of the first interval are held back until `take`.
        """
        if not self._sums or next(iter(self._sums))[0] >= starts_at:
            return ()
        if self._held is None:
            self._held, self._sums = self._sums, {}
            return ()
        return self._taken()

    def take(self) -> list[tuple[str, Struct]]:
        """Return, and forget, all rows."""
        for key, (count, highest, last) in (self._held or {}).items():
            self.add(key, highest, last, count)
        self._held = None
        return self._taken()

    def join(self, later: "_Sum") -> None:
        """Take over what a pass over later executions has not returned."""
        for sums in (later._held or {}, later._sums):  # noqa: SLF001 - its own kind
            for key, (count, highest, last) in sums.items():
                self.add(key, highest, last, count)

    def _taken(self) -> list[tuple[str, Struct]]:
        rows = [(self._table, row) for row in self.rows()]
        self._sums.clear()
        return rows


class Statistics:
    """The read model of statistics, as `projections.read_models` describes one; also its refold."""

    name = "statistics"
    version = 1
    tables: Final[Mapping[str, type[Struct]]] = {
        HOURS: IntervalRow,
        DAYS: IntervalRow,
        EVER: EverRow,
    }
    statement = _STATEMENT

    def __init__(self) -> None:
        self._hours = _Sum(HOURS, IntervalRow)
        self._days = _Sum(DAYS, IntervalRow)
        self._ever = _Sum(EVER, EverRow)
        # What was taken of one hour (since 1970), by job, status and class: count, longest, last.
        # Most executions come in order of their hours: each is added once here, and what they
        # come to is added to all tables when another hour begins.
        self._hour = -1
        self._taken: dict[_Key, list[Any]] = {}

    def parameters(self, changes: Sequence[Change]) -> Parameters | None:
        """Return the parameters of the statement: what is added to each hour."""
        hours = _Sum(HOURS, IntervalRow)
        for change in changes:
            before, after = change.before, change.after
            has_ended = isinstance(before, Execution) and before.completed_at is not None
            if isinstance(after, Execution) and after.completed_at is not None and not has_ended:
                _, hour = _intervals(_hour_of(after))
                milliseconds, measured = _measured(after)
                for job_id in (ALL_JOBS, after.job_id):
                    hours.add((hour, job_id, *measured), milliseconds, after.completed_at, 1)
        rows = hours.rows()
        return _COLUMNS.of(rows) if rows else None

    def refold(self) -> "Statistics":
        """Return sums that stand at nothing."""
        return Statistics()

    def take(self, state: State, position: int) -> Iterable[tuple[str, Struct]]:  # noqa: ARG002 - of the protocol
        """Add one execution; return the rows of the intervals that are over."""
        if not isinstance(state, Execution):
            return ()
        over: Iterable[tuple[str, Struct]] = ()
        if (hour := _hour_of(state)) != self._hour:
            self._add_up()
            self._hour = hour
            day, begins = _intervals(hour)
            over = [*self._hours.take_before(begins), *self._days.take_before(day)]
        if state.completed_at is not None:
            self._add(state, state.completed_at)
        return over

    def join(self, later: "Statistics") -> None:
        """Take over the rows that a pass over later executions holds back."""
        self._add_up()
        later._add_up()  # noqa: SLF001 - its own kind
        self._hours.join(later._hours)  # noqa: SLF001 - its own kind
        self._days.join(later._days)  # noqa: SLF001 - its own kind
        self._ever.join(later._ever)  # noqa: SLF001 - its own kind

    def rest(self) -> Iterable[tuple[str, Struct]]:
        """Return all other rows."""
        self._add_up()
        return [*self._hours.take(), *self._days.take(), *self._ever.take()]

    def _add(self, state: Execution, at: datetime) -> None:
        """Add one that has ended to what was taken of its hour."""
        milliseconds, measured = _measured(state)
        key = (state.job_id, *measured)
        taken = self._taken.get(key)
        if taken is None:
            self._taken[key] = [1, milliseconds, at]
            return
        taken[0] += 1
        taken[1] = max(taken[1], milliseconds)
        taken[2] = max(taken[2], at)

    def _add_up(self) -> None:
        """Add what was taken of one hour to all tables."""
        if not self._taken:
            return
        day, hour = _intervals(self._hour)
        for (job, status, duration_class), (count, highest, last) in self._taken.items():
            for job_id in (ALL_JOBS, job):
                key = (job_id, status, duration_class)
                self._hours.add((hour, *key), highest, last, count)
                self._days.add((day, *key), highest, last, count)
                self._ever.add(key, highest, last, count)
        self._taken.clear()


def _measured(state: Execution) -> tuple[int, tuple[str, int]]:
    """Return how long it took, and the end of its key: status and class of duration."""
    milliseconds = state.ending.duration_ms if state.ending else 0
    duration_class = durations.NEVER_RAN
    if state.started_at is not None:
        duration_class = durations.class_of(milliseconds)
    return milliseconds, (state.status, duration_class)


def _hour_of(state: Execution) -> int:
    """Return the hour, since 1970, in which it was created."""
    return ids.created_ms(state.id) // _HOUR_MS


@lru_cache(maxsize=64)
def _intervals(hours: int) -> tuple[datetime, datetime]:
    """Return the beginnings of the day and of the hour that is so many after 1970."""
    hour = _EPOCH + timedelta(hours=hours)
    return hour.replace(hour=0), hour
