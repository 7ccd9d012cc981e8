"""When a job is due: five fields of cron, a name such as @daily, or a phrase, in a time zone.

Around changes of the clock times are those of Debian's cron (cronsim computes them): a job of fixed
hours runs once, at the first moment that there is after a time that was skipped, and not again in
an hour that comes twice; one whose minute or hour field begins with a star follows the clock.
"""

import itertools
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from msgspec import Struct

from projections import phrases

# A run is not missed before it is so late, and one that begins so early is not early.
GRACE: Final = timedelta(seconds=60)
_FIELDS: Final = 5
_HOUR_SECONDS: Final = 3600
_ORDINAL: Final = re.compile(r"\b([0-9]*?(?<!1)[123])th\b")
_ENDINGS: Final = {"1": "st", "2": "nd", "3": "rd"}
_NAMED: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class Times(CronSim):
    """The times of a cron expression after a moment, or before it.

    Where clocks change by half an hour (Lord Howe Island) cronsim's steps of an hour end amidst one
    for the rest of that day, and the first half of each hour is lost.
    """

    def tick(self, seconds: int = 1) -> None:
        """Go on so far; where that was an hour and ends amidst one without any time, to its end."""
        super().tick(seconds)
        if seconds == _HOUR_SECONDS and self.dt.hour not in self.hours:
            minutes = self.dt.minute + 1 if self.tick_direction < 0 else 60 - self.dt.minute
            if minutes % 60:
                super().tick(minutes * 60)


class Due(Struct, frozen=True):
    """A time at which a job should run, and the one after it."""

    at: datetime
    following: datetime


def check(schedule: str) -> None:
    """Raise `ValueError`, with a sentence, if `schedule` is none that comes round."""
    if schedule == "@reboot":
        raise ValueError("cannot be @reboot, of which nobody knows when it should come")
    if schedule.startswith("@") and schedule not in _NAMED:
        raise ValueError(f"is none of {', '.join(_NAMED)}")
    if not schedule.startswith("@") and len(schedule.split()) != _FIELDS:
        raise ValueError("must have five fields: minute, hour, day of month, month, day of week")
    try:
        next(CronSim(_NAMED.get(schedule, schedule), datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(f"is no schedule of cron: {str(error).lower()}") from error
    except StopIteration:
        raise ValueError("names a day that never comes") from None


def cron_of(schedule: str) -> str:
    """Return `schedule`, however it is written, as five fields with single blanks.

    Raises `ValueError` with a sentence if it is none, or never comes round.
    """
    written = " ".join(schedule.split())
    if not written:
        raise ValueError(f"is empty; {phrases.HINT}")
    if written.startswith("@"):
        written = written.lower()
    elif not written[0].isdecimal() and written[0] != "*":
        written = phrases.cron_of(written)
    check(written)
    return _NAMED.get(written, written)


def sentence(cron: str) -> str:
    """Return when five fields of cron are due, in words."""
    said = CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC)).explain()
    # The library writes 21th.
    return _ORDINAL.sub(lambda found: found[1] + _ENDINGS[found[1][-1]], said)


def upcoming(cron: str, time_zone: str, after: datetime, count: int) -> list[datetime]:
    """Return the next `count` times after `after` (fewer if they end), in that zone.

    A zone that is not known (any more) counts as UTC. Some 50 µs each.
    """
    local = after.astimezone(zone(time_zone) or UTC)
    return list(itertools.islice(Times(cron, local), count))


def in_utc(moment: datetime) -> datetime:
    """Return the same moment in UTC."""
    return moment.astimezone(UTC)


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo | None:
    """Return the time zone of this name, None if this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def last_due(schedule: str, time_zone: str | None, now: datetime) -> Due | None:
    """Return the last time at which a job should have begun by `now`, None if there was none.

    A zone that is not known (any more) counts as UTC.
    """
    expression = _NAMED.get(schedule, schedule)
    local = (now - GRACE).astimezone((time_zone and zone(time_zone)) or UTC)
    try:
        at = next(Times(expression, local, reverse=True))
        return Due(at.astimezone(UTC), next(Times(expression, at)).astimezone(UTC))
    except StopIteration:
        return None
