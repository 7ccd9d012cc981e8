"""Tables and texts for people: aligned, cut to the terminal, safe to look at."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from domain.shown_text import shown

_GAP = "  "
_NARROWEST = 8
_MS_PER_SECOND = 1000
_SECONDS_PER_MINUTE = 60
_MINUTES_PER_HOUR = 60


def shown_output(text: str) -> str:
    """Return output that is safe to look at: its colours only where a terminal shows them."""
    return shown(text.encode("utf-8", "replace"), plain=not sys.stdout.isatty())


def cell(value: object) -> str:
    """Return one value on one line; what is absent is a dash."""
    if value is None or value == "":
        return "-"
    return shown(" ".join(str(value).split()).encode("utf-8", "replace"), plain=True)


def time_cell(value: object) -> str:
    """Return an RFC 3339 time of the server (UTC) as `2026-01-31 12:00:00`."""
    return cell(value)[:19].replace("T", " ")


def duration_cell(milliseconds: float) -> str:
    """Return a duration with the unit that suits it."""
    if milliseconds < _MS_PER_SECOND:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / _MS_PER_SECOND
    if seconds < _SECONDS_PER_MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), _SECONDS_PER_MINUTE)
    if minutes < _MINUTES_PER_HOUR:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // _MINUTES_PER_HOUR} h {minutes % _MINUTES_PER_HOUR:02} min"


def terminal_width() -> int | None:
    """Return the columns of the terminal on standard output; None if it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    elastic: int,
    width: int | None = None,
) -> str:
    """Return aligned lines; column number `elastic` gives way if `width` columns are too few."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    if width is not None:
        excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
        if excess > 0:
            widths[elastic] = max(_NARROWEST, widths[elastic] - excess)
    return "\n".join(
        _cut(
            _GAP.join(
                _cut(text, size).ljust(size)
                for text, size in zip(line, widths)  # noqa: B905 - on Python 3.9 too
            ).rstrip(),
            width,
        )
        for line in lines
    )


def _cut(text: str, width: int | None) -> str:
    return text if width is None or len(text) <= width else text[: max(0, width - 1)] + "…"
