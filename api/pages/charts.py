"""Charts as figures: where each mark stands. Pure; the templates draw them as SVG."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from api.pages import words
from domain import ids
from projections.runs import Run

STRIP_RUNS: Final = 30
_CELL: Final = 9
_STRIP_HEIGHT: Final = 24
# A chart in two colours says nothing to many: what went wrong stands taller.
_HEIGHTS: Final = {"success": 12, "failed": 24, "timeout": 24, "canceled": 6, "running": 18}
_SPARK_WIDTH: Final = 120
_SPARK_HEIGHT: Final = 24
LANE_WIDTH: Final = 1000
LANE_LABEL: Final = 190
LANE_HEIGHT: Final = 24
_BAR_MIN: Final = 3.0
_HOUR: Final = timedelta(hours=1)


class Cell(Struct, frozen=True):
    """One run of a heat strip."""

    x: int
    y: int
    height: int
    status: str
    execution_id: str
    text: str


class Strip(Struct, frozen=True):
    """A job's last runs, oldest first, and what they say in a sentence."""

    cells: list[Cell]
    width: int
    height: int
    text: str


class Spark(Struct, frozen=True):
    """How long the last runs took: the points of a line, the last one, and a sentence."""

    points: str
    x: float
    y: float
    width: int
    height: int
    text: str


class Bar(Struct, frozen=True):
    """One execution in the timeline."""

    x: float
    width: float
    status: str
    sign: str
    execution_id: str
    text: str


class Lane(Struct, frozen=True):
    """The executions of one job in the timeline."""

    y: int
    job_id: str
    name: str
    bars: list[Bar]


class Tick(Struct, frozen=True):
    """A time on the axis."""

    x: float
    text: str


def strip(runs: Sequence[Run]) -> Strip:
    """Return the heat strip of a job's runs, which are given oldest first."""
    shown = runs[-STRIP_RUNS:]
    missing = STRIP_RUNS - len(shown)
    cells = []
    for place, run in enumerate(shown, start=missing):
        height = _HEIGHTS.get(run.status, 6)
        cells.append(
            Cell(
                x=place * _CELL,
                y=_STRIP_HEIGHT - height,
                height=height,
                status=run.status,
                execution_id=ids.to_text(ids.EXECUTION, run.id),
                text=_said(run),
            )
        )
    counts = {status: sum(run.status == status for run in shown) for status in words.STATUSES}
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    text = f"Last {words.counted(len(shown), 'run')}: {said}" if shown else "No runs"
    return Strip(cells, STRIP_RUNS * _CELL, _STRIP_HEIGHT, text)


def success_rate(runs: Sequence[Run]) -> int | None:
    """Return the percentage of runs that went well, of those that ended and were not canceled."""
    ended = [run for run in runs if run.status in {"success", "failed", "timeout"}]
    if not ended:
        return None
    good = sum(run.status == "success" for run in ended)
    # Rounded down: 99.6 % of success is not 100.
    return 100 * good // len(ended)


def spark(runs: Sequence[Run]) -> Spark | None:
    """Return the durations of a job's runs as a line; None with fewer than two."""
    taken = [
        run.duration_ms
        for run in runs[-STRIP_RUNS:]
        if run.duration_ms is not None and run.started_at is not None
    ]
    if len(taken) < 2:  # noqa: PLR2004 - a line has two ends
        return None
    highest = max(*taken, 1)
    step = (_SPARK_WIDTH - 6) / (len(taken) - 1)
    places = [
        (3 + step * place, 3 + (_SPARK_HEIGHT - 6) * (1 - value / highest))
        for place, value in enumerate(taken)
    ]
    low, high, last = (words.duration(value) for value in (min(taken), max(taken), taken[-1]))
    return Spark(
        points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places),
        x=round(places[-1][0], 1),
        y=round(places[-1][1], 1),
        width=_SPARK_WIDTH,
        height=_SPARK_HEIGHT,
        text=f"Duration from {low} to {high}, the last time {last}",
    )


def lanes(
    named: Sequence[tuple[str, str, Sequence[Run]]], begin: datetime, end: datetime
) -> list[Lane]:
    """Return the timeline's lanes, one a job: id, name, and runs."""
    return [
        Lane(
            y=place * LANE_HEIGHT,
            job_id=job_id,
            name=name,
            bars=[_bar(run, begin, end) for run in sorted(runs, key=lambda run: run.id)],
        )
        for place, (job_id, name, runs) in enumerate(named)
    ]


def ticks(begin: datetime, end: datetime) -> list[Tick]:
    """Return the full hours between two moments, not more than a dozen."""
    every = max(1, round((end - begin) / _HOUR / 12))
    at = begin.replace(minute=0, second=0, microsecond=0) + _HOUR
    found = []
    while at <= end:
        if at.hour % every == 0:
            found.append(Tick(_x(at, begin, end), at.strftime("%H:%M")))
        at += _HOUR
    return found


def _bar(run: Run, begin: datetime, end: datetime) -> Bar:
    started = run.started_at or ids.created_at(run.id)
    ended = run.completed_at or (end if run.status == "running" else started)
    x = _x(max(started, begin), begin, end)
    width = max(_BAR_MIN, _x(min(ended, end), begin, end) - x)
    return Bar(
        x=round(min(x, LANE_WIDTH - _BAR_MIN), 1),
        width=round(width, 1),
        status=run.status,
        sign=words.SIGNS[run.status] if run.status in words.BAD else "",
        execution_id=ids.to_text(ids.EXECUTION, run.id),
        text=_said(run),
    )


def _x(moment: datetime, begin: datetime, end: datetime) -> float:
    part = (moment - begin) / (end - begin)
    return round(LANE_LABEL + (LANE_WIDTH - LANE_LABEL) * part, 1)


def _said(run: Run) -> str:
    parts = [run.status, words.clock(run.started_at or ids.created_at(run.id)) + " UTC"]
    if run.duration_ms and run.started_at:
        parts.append(words.duration(run.duration_ms))
    if run.status == "failed":
        parts.append(words.why_failed(run.failure_reason, run.exit_code))
    return ", ".join(parts)
