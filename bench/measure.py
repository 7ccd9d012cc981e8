"""Measuring side by side: contenders take turns, and pairs of the same round are compared."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Contender = Callable[[float], int]


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


def machine(versions: Sequence[str]) -> None:
    """Print what this was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    print(
        f"{os.cpu_count()} cores, {memory} GiB, {_processor()}, {platform.system()}, "
        f"Python {platform.python_version()}, {', '.join(versions)}\n"
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
