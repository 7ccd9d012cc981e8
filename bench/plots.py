"""Plots of what the benchmarks found, as SVG; needs matplotlib, which only this does."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

from bench.measure import Measure, Ratio, Result, Series
from bench.report import GOALS_PLOT, lines, reached, slug, title

mpl.use("svg")

from matplotlib import pyplot as plt

_OURS, _OTHERS, _MISSED = "#2563a8", "#9aa5b1", "#c2410c"
_WIDE: Final = 9.0
_UNEVEN: Final = 30  # between the smallest and the largest: from there on a logarithmic axis
# The same results give the same file.
_STYLE: Final = {"svg.hashsalt": "cronledger", "svg.fonttype": "none", "font.size": 9}


def draw(results: Sequence[Result], folder: Path) -> None:
    """Draw all plots into a folder, and remove what is there of former ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    with mpl.rc_context(_STYLE):
        _goals([(one, ratio) for one in results for ratio in one.ratios], folder)
        for result in results:
            _measures(result, folder)
            for number, ((x_label, y_label), series) in enumerate(lines(result).items()):
                _lines(series, x_label, y_label, folder / f"{slug(result)}-{number}.svg")


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, bbox_inches="tight", facecolor="white", metadata={"Date": None})
    plt.close(figure)


def _goals(ratios: list[tuple[Result, Ratio]], folder: Path) -> None:
    """Draw how far each ratio is on the good side of its goal: 1 is the goal."""
    shown = [(result, ratio) for result, ratio in ratios if ratio.goal]
    figure, axes = plt.subplots(figsize=(_WIDE, 0.9 + 0.3 * len(shown)))
    for row, (_, ratio) in enumerate(reversed(shown)):
        goal = ratio.goal or 1
        values = [one / goal if ratio.at_least else goal / one for one in ratio.values]
        _bar(axes, row, values, _OURS if reached(ratio) else _MISSED)
    names = [f"{title(result)}: {ratio.name}" for result, ratio in reversed(shown)]
    axes.set_yticks(range(len(shown)), names)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("times the goal (1 is reached; min, median, max)")
    _save(figure, folder / f"{GOALS_PLOT}.svg")


def _bar(axes: Any, row: int, values: Sequence[float], color: str) -> None:
    median = statistics.median(values)
    whiskers = [[median - min(values)], [max(values) - median]]
    axes.barh(row, median, color=color, height=0.6)
    axes.errorbar(median, row, xerr=whiskers, color="black", capsize=3, linewidth=1)


def _measures(result: Result, folder: Path) -> None:
    units = list(dict.fromkeys(one.unit for one in result.measures))
    counts = [sum(one.unit == unit for one in result.measures) for unit in units]
    figure, rows = plt.subplots(
        len(units),
        squeeze=False,
        figsize=(_WIDE, 0.9 * len(units) + 0.35 * sum(counts)),
        height_ratios=[count + 1 for count in counts],
        layout="constrained",
    )
    for unit, (axes,) in zip(units, rows, strict=True):
        _unit(axes, unit, [one for one in result.measures if one.unit == unit])
    _save(figure, folder / f"{slug(result)}.svg")


def _unit(axes: Any, unit: str, measures: list[Measure]) -> None:
    for row, one in enumerate(reversed(measures)):
        _bar(axes, row, one.values, _OTHERS if row < len(measures) - 1 else _OURS)
    axes.set_yticks(range(len(measures)), [one.name for one in reversed(measures)])
    medians = [statistics.median(one.values) for one in measures]
    if max(medians) > _UNEVEN * min(medians):
        axes.set_xscale("log")
    axes.set_xlabel(f"{unit} (min, median, max)")


def _lines(series: list[Series], x_label: str, y_label: str, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(_WIDE, 4))
    for one in series:
        axes.plot(one.x, one.y, marker="o" if len(one.x) < _UNEVEN else None, label=one.name)
    xs = [x for one in series for x in one.x]
    if min(xs) > 0 and max(xs) > _UNEVEN * min(xs) and len(series[0].x) < _UNEVEN:
        axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.legend()
    _save(figure, path)
