"""What the benchmarks found, as a document: pure, results in and Markdown out."""

import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from bench.measure import Machine, Ratio, Result, Series

LOSING: Final = "Where we lose"
GOALS_PLOT: Final = "goals"
_TRIAL: Final = """
> **These figures are of no use.** They come from a trial (`--quick`) with rounds of less than a
> second on a busy machine, which shows that the commands work.
"""


def markdown(
    results: Sequence[Result], notes: Mapping[str, str], *, trial: bool, plots: str
) -> str:
    """Return the document.

    Args:
        results: what was found, in the order in which to tell it.
        notes: paragraphs by hand, by the title that they stand below; the head without one.
        trial: True if the figures mean nothing.
        plots: the folder of the plots, seen from the document.
    """
    parts = [notes[""] + "\n", _TRIAL if trial else "", "\n## Goals\n", *_goals(results)]
    parts.append(f"\n![Each ratio beside its goal]({plots}/{GOALS_PLOT}.svg)\n")
    parts.append(f"\n## {LOSING}\n\n")
    parts += list(_losses(results)) or ["Nowhere, in what was measured here.\n"]
    parts += _noted(notes, LOSING)
    for result in results:
        parts += [f"\n## {title(result)}\n\n", f"{result.what}\n\n{_machine(result.machine)}\n\n"]
        parts += _measures(result)
        parts += _ratios(result)
        parts += _noted(notes, title(result))
        for number, (x_label, y_label) in enumerate(lines(result)):
            about = f"{y_label} by {x_label}"
            parts.append(f"\n![{about}]({plots}/{slug(result)}-{number}.svg)\n")
        parts.append(f"\n![What was measured]({plots}/{slug(result)}.svg)\n")
    return "".join(parts)


def title(result: Result) -> str:
    """Return what a result is called in the document."""
    return result.name[:1].upper() + result.name[1:]


def slug(result: Result) -> str:
    """Return the name of a result's plot, without suffix."""
    return re.sub(r"[^a-z0-9]+", "-", result.name.lower()).strip("-")


def lines(result: Result) -> dict[tuple[str, str], list[Series]]:
    """Return the series that share a plot, by the labels of its axes."""
    found: dict[tuple[str, str], list[Series]] = {}
    for series in result.series:
        found.setdefault((series.x_label, series.y_label), []).append(series)
    return found


def sections(text: str) -> dict[str, str]:
    """Return what a file of notes says below each title (`## …`); what is before them by ""."""
    parts = ["", *re.split(r"^## (.*)$", text, flags=re.MULTILINE)]
    return {name.strip(): body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def reached(ratio: Ratio) -> bool | None:
    """True if the median of a ratio reaches its goal; None if it has none."""
    if ratio.goal is None:
        return None
    median = statistics.median(ratio.values)
    return median >= ratio.goal if ratio.at_least else median <= ratio.goal


def verdict(ratio: Ratio) -> str:
    """Return "reached", by how much it was missed, or nothing without a goal."""
    if ratio.goal is None:
        return ""
    if reached(ratio):
        return "reached"
    missed = abs(statistics.median(ratio.values) - ratio.goal) / ratio.goal
    return f"**missed by {missed:.0%}**"


def figure(value: float) -> str:
    """Return a figure with three digits that count."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def _goal(ratio: Ratio) -> str:
    if ratio.goal is None:
        return ""
    return f"{'≥' if ratio.at_least else '≤'} {ratio.goal:g}"


def _goals(results: Sequence[Result]) -> Iterator[str]:
    yield "\n| measured | ratio | median | goal | |\n|---|---|---:|---:|---|\n"
    for result in results:
        for ratio in result.ratios:
            if ratio.goal is not None:
                median = figure(statistics.median(ratio.values))
                yield f"| {title(result)} | {ratio.name} | {median} | {_goal(ratio)} |"
                yield f" {verdict(ratio)} |\n"


def _losses(results: Sequence[Result]) -> Iterator[str]:
    """Yield the goals that were missed, and what is faster than us without being a goal."""
    for result in results:
        for ratio in result.ratios:
            median = statistics.median(ratio.values)
            if reached(ratio) is False:
                yield f"* {title(result)}: {ratio.name} is {figure(median)}, the goal is"
                yield f" {_goal(ratio)}: {verdict(ratio)}.\n"
            elif ratio.goal is None and ratio.at_least and median < 1:
                yield f"* {title(result)}: {ratio.name} is {figure(median)}.\n"


def _noted(notes: Mapping[str, str], name: str) -> list[str]:
    return [f"\n{notes[name]}\n"] if notes.get(name) else []


def _machine(machine: Machine) -> str:
    versions = ", ".join([f"Python {machine.python}", *machine.versions])
    return (
        f"Measured {machine.at} on {machine.processor}, {machine.cores} cores, "
        f"{machine.memory_gib} GiB, {machine.system}; {versions}."
    )


def _measures(result: Result) -> Iterator[str]:
    for unit, measures in groupby(result.measures, key=lambda one: one.unit):
        yield f"| {unit} | min | median | max | values |\n|---|---:|---:|---:|---:|\n"
        for one in measures:
            yield f"| {one.name} | {_spread(one.values)} | {len(one.values)} |\n"
        yield "\n"


def _ratios(result: Result) -> Iterator[str]:
    if not result.ratios:
        return
    yield "| ratio, pair by pair | min | median | max | goal | |\n|---|---:|---:|---:|---:|---|\n"
    for ratio in result.ratios:
        yield f"| {ratio.name} | {_spread(ratio.values)} | {_goal(ratio)} | {verdict(ratio)} |\n"


def _spread(values: Sequence[float]) -> str:
    found = (min(values), statistics.median(values), max(values))
    return " | ".join(figure(value) for value in found)
