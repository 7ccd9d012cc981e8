"""Every combination of the list's filters beside "the newest 50", at two sizes, in turns.

For each size a ledger of its own on one PostgreSQL, seeded alike (bench/seed.py); the lists are
asked as the server asks them, without HTTP. A pass asks each question once at each size, so that
what the machine does meanwhile falls on all alike. Then what the indexes and counters cost:
lifecycles a second with all of them, and with the read model of executions and its first indexes
alone, in turns.

Run: python -m bench.reads [--sizes 100000 1000000] [--passes 200] [--rounds 5] [--seconds 4]
    [--json FOLDER]
"""

import argparse
import asyncio
import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

import psycopg
import uvloop

from bench import append
from bench.measure import (
    Contender,
    Measure,
    Ratio,
    Series,
    interleave,
    machine,
    rates_and_ratios,
    report,
    write_result,
)
from bench.seed import job_id, seed
from projections.executions import Executions
from projections.lists import Lists
from projections.queries import Filter
from projections.read_models import READ_MODELS
from store import database
from store.changes import Projection
from store.embedded import EmbeddedServer
from store.keys import Keys, new_secret

Question: TypeAlias = Callable[[Lists], Awaitable[object]]
LIMIT: Final = 50
NEWEST: Final = "newest 50"
_JOBS: Final = {
    "": (),
    "busy job": (job_id(0),),
    "rare job": (job_id(190),),
    "3 jobs": tuple(job_id(n) for n in (0, 20, 190)),
}
_STATUSES: Final = {
    "": (),
    "success": ("success",),
    "canceled": ("canceled",),
    "failed or timeout": ("failed", "timeout"),
}
_TRIGGERS: Final = {"": (), "scheduled": ("scheduled",), "retry": ("retry",)}


def _filters() -> Iterator[tuple[str, Filter]]:
    day = datetime.now(UTC) - timedelta(days=100)
    times = {"": (None, None), "one day": (day, day + timedelta(days=1)), "from": (day, None)}
    for (job, jobs), (status, statuses), (trigger, triggers), (
        window,
        (start, end),
    ) in itertools.product(_JOBS.items(), _STATUSES.items(), _TRIGGERS.items(), times.items()):
        name = " + ".join(part for part in (job, status, trigger, window) if part)
        yield name or NEWEST, Filter(jobs, statuses, triggers, start, end)


def _asking(chosen: Filter, offset: int = 0) -> Question:
    return lambda lists: lists.page(chosen, limit=LIMIT, offset=offset)


def questions() -> dict[str, Question]:
    """Return what is asked, by name; the newest 50 first."""
    asked = {name: _asking(chosen) for name, chosen in _filters()}
    for offset in (900, 10_000, 50_000):
        asked[f"offset {offset:,}"] = _asking(Filter(), offset)
        asked[f"success + offset {offset:,}"] = _asking(Filter(status=("success",)), offset)
        chosen = Filter(triggered_by=("scheduled",))
        asked[f"scheduled + offset {offset:,}"] = _asking(chosen, offset)
    return asked


async def _measured(
    sizes: dict[int, Lists], asked: dict[str, Question], passes: int
) -> dict[tuple[str, int], list[float]]:
    """Return how many milliseconds each question took at each size, each time."""
    took: dict[tuple[str, int], list[float]] = {}
    for number in range(passes + 5):
        for name, question in asked.items():
            for size, lists in sizes.items():
                began = time.perf_counter()
                await question(lists)
                if number >= 5:
                    one = (time.perf_counter() - began) * 1000
                    took.setdefault((name, size), []).append(one)
    return took


def _told(took: dict[tuple[str, int], list[float]], sizes: list[int]) -> None:
    small, large = sizes[0], sizes[-1]
    newest = _percentiles(took[NEWEST, large])
    print(
        f"\nmilliseconds at {large:,} executions (p50, p99), p99 beside that of {NEWEST},"
        f" p50 beside that at {small:,}"
    )
    for name in dict.fromkeys(name for name, _ in took):
        p50, p99 = _percentiles(took[name, large])
        grown = p50 / _percentiles(took[name, small])[0]
        print(f"{name:<50} {p50:>8.2f} {p99:>8.2f} {p99 / newest[1]:>8.2f} x {grown:>8.2f} x")


def _write_lists(
    path: Path | None, took: dict[tuple[str, int], list[float]], sizes: list[int], passes: int
) -> None:
    small, large = sizes[0], sizes[-1]
    names = list(dict.fromkeys(name for name, _ in took))
    found = {key: _percentiles(values) for key, values in took.items()}
    slower = {name: found[name, large][1] / found[NEWEST, large][1] for name in names}
    grown = {name: found[name, large][0] / found[name, small][0] for name in names}
    slowest, most_grown = max(names, key=slower.__getitem__), max(names, key=grown.__getitem__)
    shown = dict.fromkeys((NEWEST, slowest, most_grown))
    write_result(
        path,
        name="lists by filter",
        what=f"{len(names)} questions: every combination of filters, and offsets, {LIMIT} rows "
        f"each, as the server asks them, without HTTP, on ledgers of "
        f"{' and '.join(f'{size:,}' for size in sizes)} seeded executions; {passes} passes, each "
        "asking each question once at each size. Shown are the newest 50 and the questions that "
        "do worst: the ratio of that one stands for all.",
        measures=[
            Measure(f"{name}, at {size:,}", "ms", took[name, size])
            for name in shown
            for size in sizes
        ],
        ratios=[
            Ratio(
                f"worst p99 / p99 of {NEWEST}: {slowest}", [slower[slowest]], goal=3, at_least=False
            ),
            Ratio(
                f"worst p50 at {large:,} / at {small:,}: {most_grown}",
                [grown[most_grown]],
                goal=1.3,
                at_least=False,
            ),
        ],
        series=[
            Series(
                f"{which} at {large:,}",
                [float(n) for n in range(1, len(names) + 1)],
                sorted(found[name, large][at] for name in names),
                "questions, from quick to slow",
                "ms",
            )
            for at, which in enumerate(("p50", "p99"))
        ],
    )


def _percentiles(values: list[float]) -> tuple[float, float]:
    return statistics.median(values), statistics.quantiles(values, n=100, method="inclusive")[98]


def _measure_reads(server: EmbeddedServer, keys: Keys, args: argparse.Namespace) -> None:
    made = {}
    for size in args.sizes:
        name = f"reads_{size}"
        database.create_database(server.conninfo(), name)
        owner = server.conninfo(name)
        database.migrate(owner, keys, password="bench")
        began = time.perf_counter()
        seed(owner, keys, size)
        print(f"{size:,} executions in {time.perf_counter() - began:.0f} s", flush=True)
        made[size] = database.server_conninfo(owner, password="bench")

    async def run() -> dict[tuple[str, int], list[float]]:
        sizes = {size: Lists(conninfo) for size, conninfo in made.items()}
        try:
            return await _measured(sizes, questions(), args.passes)
        finally:
            for lists in sizes.values():
                await lists.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        took = runner.run(run())
    _told(took, sorted(args.sizes))
    _write_lists(args.json and args.json / "reads.json", took, sorted(args.sizes), args.passes)


_WITHOUT: Final = """
DROP INDEX read.executions_1_by_job_and_status, read.executions_1_by_status_and_trigger;
CREATE INDEX executions_1_by_status ON read.executions_1 (status, id);
"""


def _measure_appends(
    server: EmbeddedServer, home: Path, keys: Keys, args: argparse.Namespace
) -> None:
    """Compare lifecycles a second with all read models and with that of executions alone."""
    contenders: dict[str, Contender] = {}
    running: list[append.Ours] = []
    alone: tuple[Projection, ...] = (Executions(),)
    for name, models in (("all", READ_MODELS), ("executions alone", alone)):
        database_name = f"append_{len(running)}"
        database.create_database(server.conninfo(), database_name)
        owner = server.conninfo(database_name)
        ledger_id = database.migrate(owner, keys, password="bench")
        if models is alone:
            with psycopg.connect(owner, autocommit=True) as connection:
                connection.execute(_WITHOUT.encode())
        conninfo = database.server_conninfo(owner, password="bench")
        ours = append.Ours(home, conninfo, keys, ledger_id, 64, models)
        running.append(ours)
        contenders[name] = ours.lifecycles
    try:
        rates = interleave(contenders, rounds=args.rounds, seconds=args.seconds)
        report(rates, unit="lifecycles", ours="all")
        goals = {"executions alone": 0.85}
        measures, ratios = rates_and_ratios(rates, unit="lifecycles", ours="all", goals=goals)
        write_result(
            args.json and args.json / "indexes.json",
            name="what read models cost",
            what="The ledger layer with 64 clients: with all read models, counters and indexes, "
            "and with the executions and their first indexes alone. "
            f"{args.rounds} rounds of {args.seconds:g} s each, in turns.",
            measures=measures,
            ratios=ratios,
        )
    finally:
        for one in running:
            one.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--passes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--json", type=Path, help="also write the results into this folder")
    args = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="cronledger-bench-"))
    keys = Keys(new_secret())
    machine([])
    try:
        with EmbeddedServer(home) as server:
            _measure_reads(server, keys, args)
            _measure_appends(server, home, keys, args)
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
