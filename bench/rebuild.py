"""Rebuild and verify of whole logs, beside what only reading them costs and the library's way.

All on one PostgreSQL (fsync on), in one run, in turns: "COPY out + decode" reads every event with
psycopg's COPY in binary format and decodes its payload with msgspec, and does nothing with it;
`rebuild` and `verify` are what `cronledger rebuild` and `cronledger verify` do; the library's
ProjectionRunner processes a slice, since a row and a transaction an event take it minutes. At last
the times of commands over HTTP, while nothing else is done and beside a rebuild, which then leaves
one of two cores to them and takes longer.

A size goes through as many rounds as its share of the time allows, and one at least.

Run: python -m bench.rebuild [--events 10000 --events 100000 --events 1000000] [--rounds 5]
     [--seconds 100] [--json FILE]
"""

import argparse
import shutil
import signal
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench import beside, projection
from bench.http import served
from bench.measure import Measure, Ratio, Series, machine, paired, write_result
from bench.passes import Took, once
from bench.seeding import seed
from store import database
from store.embedded import EmbeddedServer
from store.keys import Keys

SIZES: Final = [10_000, 100_000, 1_000_000]
READ, REBUILD, VERIFY = "COPY out + decode", "rebuild", "verify"
PASSES: Final = {READ: "read", REBUILD: "rebuild", VERIFY: "verify"}
LIBRARY: Final = "eventsourcing ProjectionRunner"
_KIB = 1024

# Of a size and a pass, what each round took.
Rounds = dict[int, dict[str, list[Took]]]


def _seeded(postgres: EmbeddedServer, events: int) -> str:
    name, keys = f"events_{events}", Keys(bytes(32))
    database.create_database(postgres.conninfo(), name)
    conninfo = postgres.conninfo(name)
    started = time.perf_counter()
    seed(conninfo, database.migrate(conninfo, keys, password=None), keys, events)
    print(f"\n{events:,} events, seeded in {time.perf_counter() - started:.1f} s", flush=True)
    return conninfo


def _rounds(conninfo: str, events: int, rounds: int, seconds: float) -> dict[str, list[Took]]:
    """Let the passes take turns; one of each comes first, to warm up."""
    taken: dict[str, list[Took]] = {name: [] for name in PASSES}
    started = time.perf_counter()
    for number in range(rounds + 1):
        for name, found in taken.items():
            took = once(PASSES[name], conninfo)
            print(
                f"  round {number}/{rounds}  {name:<20} {took.seconds:>8.2f} s"
                f" {events / took.seconds:>10,.0f} events/s {took.memory / _KIB:>6,.0f} MiB",
                flush=True,
            )
            if number:
                found.append(took)
        if number and time.perf_counter() - started > seconds * number / (number + 1):
            break  # another round would not fit
    return taken


def _library(postgres: EmbeddedServer, events: int, rounds: int) -> list[float]:
    """Measure the library on a slice: in a database of its own each time, since it remembers."""
    rates = []
    for number in range(rounds):
        name = f"library_{number}"
        database.create_database(postgres.conninfo(), name)
        rates.append(projection.rate(postgres.conninfo(name), events))
        print(f"  {LIBRARY}, {events:,} events: {rates[-1]:,.0f} events/s", flush=True)
    return rates


def _rates(taken: dict[str, list[Took]], name: str, events: int) -> list[float]:
    return [events / took.seconds for took in taken[name]]


def _ratios(found: Rounds, library: list[float]) -> list[Ratio]:
    """Return the goals that the largest log is held to."""
    events = max(found)
    read, rebuilt, verified = (_rates(found[events], name, events) for name in PASSES)
    slowest = statistics.median(library)
    ratios = [
        paired(f"rebuild / {READ}", rebuilt, read),
        paired("verify / rebuild", verified, rebuilt),
        Ratio(f"rebuild / {LIBRARY}", [rate / slowest for rate in rebuilt]),
    ]
    for ratio, goal in zip(ratios, (0.7, 0.5, 300), strict=True):
        ratio.goal = goal
    # A log of some thousand events is rebuilt by one process, which is another thing.
    smaller = [size for size in sorted(found) if size >= events // 10 and size != events]
    if smaller:
        little, much = (
            max(took.memory for took in found[size][REBUILD]) for size in (smaller[0], events)
        )
        of = f"memory of a rebuild, {events:,} events / {smaller[0]:,}"
        ratios.append(Ratio(of, [much / little], 1.3, at_least=False))
    return ratios


def _measures(found: Rounds, library: list[float]) -> list[Measure]:
    measures = [Measure(LIBRARY, "events/s", library)]
    for events, taken in found.items():
        measures += [
            Measure(f"{name}, {events:,} events", "events/s", _rates(taken, name, events))
            for name in PASSES
        ]
        memory = [took.memory / _KIB for took in taken[REBUILD]]
        measures.append(Measure(f"memory of a rebuild, {events:,} events", "MiB", memory))
    return measures


def _series(found: Rounds) -> list[Series]:
    sizes = sorted(found)
    return [
        Series(
            name,
            [float(events) for events in sizes],
            [statistics.median(_rates(found[events], name, events)) for events in sizes],
            "events in the log",
            "events/s",
        )
        for name in PASSES
    ]


def _print(ratios: list[Ratio]) -> None:
    print()
    for ratio in ratios:
        goal = f"  (goal: {'≥' if ratio.at_least else '≤'} {ratio.goal})" if ratio.goal else ""
        print(f"{ratio.name:<60} {statistics.median(ratio.values):>8.2f} x{goal}")


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, action="append", help="how large a log; repeatable")
    parser.add_argument("--rounds", type=int, default=5, help="of each size, at most")
    parser.add_argument("--seconds", type=float, default=100, help="for the rounds of a size")
    parser.add_argument("--slice", type=int, default=3000, help="events for the ProjectionRunner")
    parser.add_argument("--beside", type=int, help="events rebuilt beside clients")
    parser.add_argument("--json", type=Path, help="also write the result there")
    args = parser.parse_args()
    versions = [f"{name} {version(name)}" for name in ("eventsourcing", "psycopg", "msgspec")]
    machine(versions)
    home = Path(tempfile.mkdtemp(prefix="cronledger-bench-"))
    server, url, token = served(home)
    postgres = EmbeddedServer(home)  # beside the server that owns the home: only its address
    try:
        found: Rounds = {}
        library = _library(postgres, args.slice, 3)
        for events in args.events or SIZES:
            conninfo = _seeded(postgres, events)
            found[events] = _rounds(conninfo, events, args.rounds, args.seconds)
        events = args.beside or max(found)
        waits = beside.waits(home, url, token, events, args.rounds)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        shutil.rmtree(home)
    ratios = [*_ratios(found, library), beside.ratio(waits)]
    _print(ratios)
    write_result(
        args.json,
        name="rebuild",
        what=__doc__.partition("\n\nA size")[0],
        measures=[*_measures(found, library), *waits],
        ratios=ratios,
        series=_series(found),
        versions=versions,
    )


if __name__ == "__main__":
    main()
