"""Measuring side by side: contenders take turns, and pairs of the same round are compared."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

Contender = Callable[[float], int]


class Measure(Struct):
    """What was measured of one contender, a value a round."""

    name: str
    unit: str
    values: list[float]


class Ratio(Struct):
    """Two things measured in the same rounds, one by the other, pair by pair, and its goal."""

    name: str
    values: list[float]
    goal: float | None = None
    at_least: bool = True


class Series(Struct):
    """A line of a plot: series of one benchmark with the same labels share one."""

    name: str
    x: list[float]
    y: list[float]
    x_label: str
    y_label: str


class Machine(Struct):
    """What something was measured on, with which versions, and when (UTC)."""

    cores: int
    memory_gib: int
    processor: str
    system: str
    python: str
    versions: list[str]
    at: str


class Result(Struct):
    """What one benchmark found. `what` says in sentences what was run and how."""

    name: str
    what: str
    machine: Machine
    measures: list[Measure]
    ratios: list[Ratio] = []
    series: list[Series] = []


def write_result(
    path: Path | None,
    *,
    name: str,
    what: str,
    measures: Sequence[Measure],
    ratios: Sequence[Ratio] = (),
    series: Sequence[Series] = (),
    versions: Sequence[str] = (),
) -> None:
    """Write what a benchmark found as JSON for `bench.report`; without a path do nothing."""
    if path is None:
        return
    found = Result(name, what, here(versions), list(measures), list(ratios), list(series))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


def paired(name: str, ones: Sequence[float], others: Sequence[float]) -> Ratio:
    """Return the ratio of what was measured in the same rounds, without a goal."""
    return Ratio(name, [one / other for one, other in zip(ones, others, strict=True)])


def interleave(
    contenders: Mapping[str, Contender], *, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Let the contenders take turns for `rounds` rounds; return each one's rates per second.

    A contender gets the seconds it has and returns how much it did. One more round comes first,
    to warm up, and does not count.
    """
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, contender in contenders.items():
            started = time.perf_counter()
            done = contender(seconds)
            rate = done / (time.perf_counter() - started)
            if number:
                rates[name].append(rate)
                print(f"  round {number}/{rounds}  {name:<44} {rate:>10,.0f} /s", flush=True)
    return rates


def report(rates: dict[str, list[float]], *, unit: str, ours: str) -> None:
    """Print min, median and max of each, and our ratio to it as the median over the rounds."""
    print(f"\n{unit} per second{'':<26} {'min':>9} {'median':>9} {'max':>9}   ours / it")
    for name, values in rates.items():
        ratio = ""
        if name != ours:
            pairs = [mine / other for mine, other in zip(rates[ours], values, strict=True)]
            ratio = f"{statistics.median(pairs):8.2f} x"
        print(
            f"{name:<44} {min(values):>9,.0f} {statistics.median(values):>9,.0f} "
            f"{max(values):>9,.0f}   {ratio}"
        )
    print()


def rates_and_ratios(
    rates: Mapping[str, list[float]], *, unit: str, ours: str, goals: Mapping[str, float]
) -> tuple[list[Measure], list[Ratio]]:
    """Return what `interleave` found for `write_result`: ours by each other, with its goal."""
    measures = [Measure(name, f"{unit}/s", values) for name, values in rates.items()]
    ratios = []
    for name, values in rates.items():
        if name != ours:
            ratio = paired(f"{ours} / {name}", rates[ours], values)
            ratio.goal = goals.get(name)
            ratios.append(ratio)
    return measures, ratios


def machine(versions: Sequence[str]) -> None:
    """Print what this was measured on."""
    found = here(versions)
    print(
        f"{found.cores} cores, {found.memory_gib} GiB, {found.processor}, {found.system}, "
        f"Python {found.python}, {', '.join(versions)}\n"
    )


def here(versions: Sequence[str]) -> Machine:
    """Return what machine this is, with the versions that matter to a benchmark."""
    return Machine(
        cores=os.cpu_count() or 1,
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30,
        processor=_processor(),
        system=platform.system(),
        python=platform.python_version(),
        versions=list(versions),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
