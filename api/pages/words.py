"""How the pages say things: statuses, durations, times, reasons. Pure."""

import shlex
from datetime import UTC, datetime
from typing import Final

from projections.queries import View
from projections.summaries import Summary

# A sign beside the word, so that no status is told by its colour alone.
SIGNS: Final = {
    "success": "\N{CHECK MARK}",
    "failed": "\N{MULTIPLICATION X}",
    "timeout": "T",
    "canceled": "\N{CIRCLED DIVISION SLASH}",
    "running": "\N{BLACK RIGHT-POINTING TRIANGLE}",
    "pending": "\N{HORIZONTAL ELLIPSIS}",
}
STATUSES: Final = tuple(SIGNS)
FINAL: Final = frozenset({"success", "failed", "timeout", "canceled"})
BAD: Final = frozenset({"failed", "timeout"})
ERASED: Final = "(erased)"
_KIB: Final = 1024


def duration(milliseconds: int | None) -> str:
    """Return a duration as people say it, such as ``3 min 20 s``."""
    if milliseconds is None:
        return ""
    seconds = milliseconds / 1000
    if milliseconds < 1000:  # noqa: PLR2004 - a second
        return f"{milliseconds} ms"
    if seconds < 59.95:  # noqa: PLR2004 - a minute, rounded
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004 - an hour
        return f"{minutes} min {rest:02d} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:  # noqa: PLR2004 - two days
        return f"{hours} h {minutes:02d} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h"


def ago(moment: datetime, now: datetime) -> str:
    """Return how long ago (or ahead) a moment is, such as ``3 min ago``."""
    seconds = (now - moment).total_seconds()
    text = _rough(abs(seconds))
    if text == "0 s":
        return "now"
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def _rough(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def clock(moment: datetime | None) -> str:
    """Return a moment in UTC as the tables show it."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def size(count: int) -> str:
    """Return a number of bytes as people say it."""
    if count < _KIB:
        return f"{count} bytes" if count != 1 else "1 byte"
    value, unit = count / _KIB, "KiB"
    if value >= _KIB:
        value, unit = value / _KIB, "MiB"
    return f"{value:.1f} {unit}"


def counted(count: int, one: str, several: str | None = None) -> str:
    """Return a number with its noun: ``1 job``, ``2 jobs``."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def command(shown: str | tuple[str, ...]) -> str:
    """Return a command as one would type it."""
    return shown if isinstance(shown, str) else shlex.join(shown)


def reason(view: View) -> str:
    """Return in words why an execution failed; empty if it did not."""
    row = view.row
    if row.status == "timeout":
        limit = duration((row.timeout_seconds or 0) * 1000) if row.timeout_seconds else ""
        return f"took longer than its limit of {limit}" if limit else "took longer than its limit"
    if row.status != "failed":
        return ""
    return why_failed(row.failure_reason, row.exit_code, row.signal)


def why_failed(failure_reason: str | None, exit_code: int | None, signal: int | None = None) -> str:
    """Return in words why something failed."""
    match failure_reason:
        case "agent_lost":
            return "its agent was lost: nobody saw how it ended"
        case "not_started":
            return "no agent took it in time"
        case "agent_shutdown":
            return "its agent was shut down"
        case "spawn_failed":
            return "the command could not be started"
        case "signal":
            return f"ended by signal {signal}" if signal else "ended by a signal"
        case _:
            return f"exit code {exit_code}" if exit_code is not None else "failed"


def span(hours: int) -> str:
    """Return the name of a stretch of hours up to now."""
    return "last 24 hours" if hours == 24 else f"last {hours} hours"  # noqa: PLR2004 - a day


def success_of(past: Summary) -> str:
    """Return which share of all that ended went well, such as ``97 % of 1,200``."""
    # Rounded down: 99.6 % of success is not 100.
    return f"{100 * past.counts.get('success', 0) // max(1, past.judged)} % of {past.judged:,}"


def usual_duration(past: Summary) -> str:
    """Return how long it took as a rule, and at worst but for one of twenty; rounded."""
    median, most = past.percentile(0.5), past.percentile(0.95)
    return "" if median is None else f"half in {duration(median)}, 95 % in {duration(most)}"
