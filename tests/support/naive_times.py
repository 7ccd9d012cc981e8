"""Due times once more, plainly: every minute is looked at, and nothing of cronsim is used."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_MINUTE = timedelta(minutes=1)


def _values(field: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        start, end = (low, high) if first == "*" else (int(first), int(last or first))
        found |= set(range(start, end + 1, int(step or 1)))
    return found


class NaiveCron:
    """Five fields of numbers, lists, ranges and steps; either day field must be a star."""

    def __init__(self, cron: str, time_zone: str) -> None:
        minute, hour, day, month, weekday = cron.split()
        self._minutes, self._hours = _values(minute, 0, 59), _values(hour, 0, 23)
        self._days, self._months = _values(day, 1, 31), _values(month, 1, 12)
        self._weekdays = {number % 7 for number in _values(weekday, 0, 7)}
        # Debian's cron: such jobs follow the clock on the wall through every change of it.
        self._follows_clock = minute.startswith("*") or hour.startswith("*")
        self._zone = ZoneInfo(time_zone)

    def between(self, after: datetime, until: datetime) -> list[datetime]:
        """The due times in (after, until], in UTC; of the second sort each moment once."""
        found = self._on_clock if self._follows_clock else self._fixed
        times = found(after - timedelta(days=2), until + timedelta(days=2))
        return sorted({at for at in times if after < at <= until})

    def _matches(self, local: datetime) -> bool:
        return (
            local.minute in self._minutes
            and local.hour in self._hours
            and local.day in self._days
            and local.month in self._months
            and local.isoweekday() % 7 in self._weekdays
        )

    def _on_clock(self, start: datetime, end: datetime) -> Iterator[datetime]:
        at = start.replace(second=0, microsecond=0)
        while at < end:
            if self._matches(at.astimezone(self._zone)):
                yield at
            at += _MINUTE

    def _fixed(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """A local time that is skipped counts at the first moment after; one that repeats, once."""
        local = start.replace(second=0, microsecond=0, tzinfo=None)
        while local < end.replace(tzinfo=None):
            if self._matches(local):
                yield self._first_moment(local)
            local += _MINUTE

    def _first_moment(self, local: datetime) -> datetime:
        while True:
            at = local.replace(tzinfo=self._zone).astimezone(UTC)
            if at.astimezone(self._zone).replace(tzinfo=None) == local:
                return at
            local += _MINUTE
