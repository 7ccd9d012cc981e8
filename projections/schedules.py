"""When a job is due: five fields of cron, or a name such as @daily, in a time zone."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from msgspec import Struct

# A run is not missed before it is so late, and one that begins so early is not early.
GRACE: Final = timedelta(seconds=60)
_FIELDS: Final = 5
_NAMED: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


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
        at = next(CronSim(expression, local, reverse=True))
        return Due(at.astimezone(UTC), next(CronSim(expression, at)).astimezone(UTC))
    except StopIteration:
        return None
