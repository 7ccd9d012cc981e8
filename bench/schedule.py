"""How late jobs are started: one at a time, and 10,000 that are due in the same second.

One server's writer and scheduler in process on a PostgreSQL of its own; the clock is one that is
moved to the due time, so that nothing waits for a minute to come round. Lateness is from the moment
at which the clock says that a job is due to the commit that makes its execution.

Run: python -m bench.schedule [--jobs 10000] [--rounds 3] [--json FILE]
"""

import argparse
import asyncio
import statistics
import time
from datetime import timedelta
from pathlib import Path

import psycopg

from bench.measure import Measure, machine, write_result
from tests.support.postgres import Database, running_postgres
from tests.support.timekeeping import Clock, TimeServer, Timetable

_AT_ONCE = 500


async def _measure(database: Database, jobs: int, rounds: int) -> list[Measure]:
    async with TimeServer(database, Clock()) as server:
        table = Timetable(server, database)
        await table.define("single", "30 * * * *")
        await server.settled()
        alone = []
        for _ in range(50):
            server.clock.advance(minutes=59 - server.clock.now.minute + 31)
            alone.append(await _timed(server))
        print(f"one job due            p50 {statistics.median(alone) * 1e3:8.1f} ms")
        for first in range(0, jobs, _AT_ONCE):
            some = range(first, min(jobs, first + _AT_ONCE))
            # Minutes differ in their fields only, so that no two jobs share a computation.
            await asyncio.gather(*(table.define(f"job-{n}", _cron(n)) for n in some))
        planned = await _timed(server)
        print(f"{jobs} jobs looked at first {planned:8.2f} s")
        rates = []
        for _ in range(rounds):
            server.clock.now = server.clock.now.replace(minute=0) + timedelta(hours=1)
            before = server.scheduler.counters.due
            took = await _timed(server)
            made = server.scheduler.counters.due - before
            rates.append(made / took)
            print(f"{made} due at once    all {took:8.2f} s   {made / took:8,.0f} /s")
    return [
        Measure("one job due, to its execution", "ms", [one * 1e3 for one in alone]),
        Measure(f"{jobs:,} jobs due at once", "executions/s", rates),
    ]


def _cron(number: int) -> str:
    """Schedules that are all due at the full hour, in 24 different words."""
    others = ",".join(str(hour) for hour in range(24) if hour != number % 24)
    return f"0 {others},{number % 24} * * *"


async def _timed(server: TimeServer) -> float:
    began = time.perf_counter()
    await server.settled()
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the result there")
    args = parser.parse_args()
    versions = [f"psycopg {psycopg.__version__}"]
    machine(versions)
    with running_postgres() as postgres:
        measures = asyncio.run(_measure(postgres.fresh(), args.jobs, args.rounds))
    write_result(
        args.json,
        name="lateness of schedules",
        what="The writer and the scheduler in process, with a clock that is moved to the due time: "
        "from then to the commit that makes the execution, one job alone 50 times, and "
        f"{args.jobs:,} jobs that are due in the same second, {args.rounds} times.",
        measures=measures,
        versions=versions,
    )


if __name__ == "__main__":
    main()
