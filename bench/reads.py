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
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

import psycopg
import uvloop
from msgspec import Struct, field
from msgspec.structs import replace

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
from domain import ids
from projections.executions import Executions
from projections.lists import Lists
from projections.queries import Filter
from projections.read_models import READ_MODELS
from store import database
from store.changes import Projection
from store.embedded import EmbeddedServer
from store.keys import Keys, new_secret

# Which executions, and how many of them to pass over.
Question: TypeAlias = tuple[Filter, int]
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


def questions() -> dict[str, Question]:
    """Return what is asked, by name; the newest 50 first."""
    asked = {name: (chosen, 0) for name, chosen in _filters()}
    # Half a year into a year of runs: as deep as half of them.
    half = ids.lowest_at(datetime.now(UTC) - timedelta(days=182))
    for name in ("", "success", "failed or timeout", "busy job", "3 jobs", "scheduled"):
        chosen = replace(asked[name or NEWEST][0], before=half)
        asked[f"{name} + cursor amidst".removeprefix(" + ")] = (chosen, 0)
    for offset in (900, 10_000, 50_000):
        for name in ("", "success", "scheduled"):
            chosen = asked[name or NEWEST][0]
            asked[f"{name} + offset {offset:,}".removeprefix(" + ")] = (chosen, offset)
    return asked


class Answers(Struct):
    """What a question took at one size, in milliseconds, and how many rows it found."""

    took: list[float] = field(default_factory=list)
    rows: int = 0

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.took)

    @property
    def p99(self) -> float:
        """What one in a hundred takes longer than."""
        return statistics.quantiles(self.took, n=100, method="inclusive")[98]


Found: TypeAlias = dict[tuple[str, int], Answers]


async def _measured(sizes: dict[int, Lists], asked: dict[str, Question], passes: int) -> Found:
    """Ask each question once at each size, `passes` times and a few times before."""
    found: Found = {}
    for number in range(passes + 5):
        for name, (chosen, offset) in asked.items():
            for size, lists in sizes.items():
                began = time.perf_counter()
                page = await lists.page(chosen, limit=LIMIT, offset=offset)
                took = (time.perf_counter() - began) * 1000
                answers = found.setdefault((name, size), Answers())
                answers.rows = len(page.rows)
                if number >= 5:
                    answers.took.append(took)
    return found


def _told(found: Found, sizes: list[int]) -> None:
    small, large = sizes[0], sizes[-1]
    newest = found[NEWEST, large]
    print(
        f"\nmilliseconds at {large:,} executions (p50, p99), p99 beside that of {NEWEST},"
        f" p50 beside that at {small:,}, rows"
    )
    for name in dict.fromkeys(name for name, _ in found):
        here = found[name, large]
        print(
            f"{name:<50} {here.p50:>8.2f} {here.p99:>8.2f} {here.p99 / newest.p99:>8.2f} x"
            f" {here.p50 / found[name, small].p50:>8.2f} x {here.rows:>4}"
        )


def _worst(found: Found, sizes: list[int], asked: dict[str, Question]) -> list[tuple[str, Ratio]]:
    """Return what is held to a goal, and what stands beside it, each with its question."""
    small, large = sizes[0], sizes[-1]
    offsets = {name for name, (_, offset) in asked.items() if offset}
    uneven = {name for name in asked if found[name, small].rows != found[name, large].rows}
    newest = found[NEWEST, large].p99
    slower = {name: found[name, large].p99 / newest for name in asked}
    grown = {name: found[name, large].p50 / found[name, small].p50 for name in asked}
    filters = asked.keys() - offsets
    grew = f"worst p50 at {large:,} / at {small:,}"
    worst = []
    for what, ratios, chosen, goal in (
        (f"worst filter, p99 / p99 of {NEWEST}", slower, filters, 3.0),
        (f"worst offset, p99 / p99 of {NEWEST}", slower, offsets, None),
        (grew, grown, filters - uneven, 1.3),
        (f"{grew}, of more rows", grown, filters & uneven, None),
    ):
        if chosen:
            name = max(sorted(chosen), key=ratios.__getitem__)
            ratio = Ratio(f"{what}: {name}", [ratios[name]], goal=goal, at_least=False)
            worst.append((name, ratio))
    return worst


def _write_lists(
    path: Path | None, found: Found, sizes: list[int], asked: dict[str, Question], passes: int
) -> None:
    large = sizes[-1]
    worst = _worst(found, sizes, asked)
    write_result(
        path,
        name="lists by filter",
        what=f"{len(asked)} questions: every combination of filters, cursors amidst, and "
        f"offsets, {LIMIT} rows each, as the server asks them, without HTTP, on ledgers of "
        f"{' and '.join(f'{size:,}' for size in sizes)} seeded executions; {passes} passes, each "
        "asking each question once at each size. Shown are the newest 50 and the questions that "
        "do worst: the ratio of that one stands for all.",
        measures=[
            Measure(f"{name}, at {size:,}", "ms", found[name, size].took)
            for name in dict.fromkeys((NEWEST, *(name for name, _ in worst)))
            for size in sizes
        ],
        ratios=[ratio for _, ratio in worst],
        series=[
            Series(
                f"{which} at {large:,}",
                [float(n) for n in range(1, len(asked) + 1)],
                sorted(getattr(found[name, large], which) for name in asked),
                "questions, from quick to slow",
                "ms",
            )
            for which in ("p50", "p99")
        ],
    )


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

    asked = questions()

    async def run() -> Found:
        sizes = {size: Lists(conninfo) for size, conninfo in made.items()}
        try:
            return await _measured(sizes, asked, args.passes)
        finally:
            for lists in sizes.values():
                await lists.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run())
    sizes = sorted(args.sizes)
    _told(found, sizes)
    _write_lists(args.json and args.json / "reads.json", found, sizes, asked, args.passes)


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
