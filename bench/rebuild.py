"""Rebuild and verify of whole logs, beside what only reading them costs and the library's way.

All on one PostgreSQL (fsync on), in one run, in turns: "COPY out + decode" reads every event with
psycopg's COPY in binary format and decodes its payload with msgspec, and does nothing with it;
`rebuild` and `verify` are what `cronledger rebuild` and `cronledger verify` do; the library's
ProjectionRunner processes a slice, since a row and a transaction an event take it minutes. At last
the times of commands over HTTP, while nothing else is done and beside a rebuild.

Run: python -m bench.rebuild [--events 10000 --events 100000 --events 1000000] [--rounds 3]
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import uvloop
from msgspec import Struct

from bench import projection
from bench.connection import Connection
from bench.http import served
from bench.measure import machine
from bench.seeding import seed
from projections.read_models import READ_MODELS
from projections.rebuild import rebuild
from projections.verify import verify
from store import database, mapper
from store.embedded import EmbeddedServer
from store.keys import Keys

SIZES = [10_000, 100_000, 1_000_000]
READ, REBUILD, VERIFY = "COPY out + decode", "rebuild", "verify"
_COPY = """COPY (SELECT stream_id, command_id, version, schema_version, position, occurred_at,
    type, payload FROM ledger.events ORDER BY stream_id, version) TO STDOUT (FORMAT BINARY)"""
_TYPES = ["uuid", "uuid", "int4", "int2", "int8", "timestamptz", "text", "bytea"]
_MIB = 1024


class Took(Struct):
    """What one pass took: seconds, and the most memory that one of its processes had, in KiB."""

    seconds: float
    memory: int


def _read(conninfo: str) -> None:
    with (
        psycopg.connect(conninfo) as connection,
        connection.cursor() as cursor,
        cursor.copy(_COPY) as copy,
    ):
        copy.set_types(_TYPES)
        for row in copy.rows():
            mapper.decode(row[6], row[3], row[7])


def _rebuild(conninfo: str) -> None:
    rebuild(conninfo, READ_MODELS, lambda *_: None)


def _verify(conninfo: str) -> None:
    verify(conninfo, READ_MODELS, Path("/nonexistent/head"), lambda *_: None)


_PASSES: dict[str, Callable[[str], None]] = {READ: _read, REBUILD: _rebuild, VERIFY: _verify}


def _alone(name: str, conninfo: str, took: "multiprocessing.queues.Queue[Took]") -> None:
    started = time.perf_counter()
    _PASSES[name](conninfo)
    seconds = time.perf_counter() - started
    most = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    took.put(Took(seconds, most))


def once(name: str, conninfo: str) -> Took:
    """Do one pass in a fresh process."""
    context = multiprocessing.get_context("spawn")
    took = context.Queue()
    process = context.Process(target=_alone, args=(name, conninfo, took))
    process.start()
    found: Took = took.get()
    process.join()
    return found


def _sizes(postgres: EmbeddedServer, sizes: list[int], rounds: int) -> dict[int, dict[str, float]]:
    """Measure each size; return the median rates, in events per second."""
    keys = Keys(bytes(32))
    rates: dict[int, dict[str, float]] = {}
    for events in sizes:
        name = f"events_{events}"
        database.create_database(postgres.conninfo(), name)
        conninfo = postgres.conninfo(name)
        seed(conninfo, database.migrate(conninfo, keys, password=None), keys, events)
        taken: dict[str, list[Took]] = {passed: [] for passed in _PASSES}
        for number in range(rounds + 1):
            for passed, found in taken.items():
                took = once(passed, conninfo)
                if number:  # the first warms up
                    found.append(took)
        print(
            f"\n{events:,} events{'':<20} {'events/s':>12} {'of reading':>12} {'most memory':>14}"
        )
        for passed, found in taken.items():
            pairs = zip(taken[READ], found, strict=True)
            ratio = statistics.median(read.seconds / one.seconds for read, one in pairs)
            rate = statistics.median(events / one.seconds for one in found)
            memory = max(one.memory for one in found) / _MIB
            print(f"{passed:<34} {rate:>12,.0f} {ratio:>12.2f} {memory:>10,.0f} MiB")
            rates.setdefault(events, {})[passed] = rate
        pairs = zip(taken[REBUILD], taken[VERIFY], strict=True)
        of_rebuild = statistics.median(one.seconds / other.seconds for one, other in pairs)
        print(f"verify's rate is {of_rebuild:.2f} of rebuild's")
    return rates


async def _latencies(url: str, token: str, clients: int, going_on: Callable[[], bool]) -> float:
    """Create executions until it is over; return the 99th percentile of the times, in ms."""
    parts, times = urlsplit(url), []
    body = b'{"job_name":"bench","command":"true"}'

    async def client(connection: Connection) -> None:
        await connection.open()
        while going_on():
            started = time.perf_counter()
            await connection.json("/v1/cron-executions", body, 201)
            times.append(time.perf_counter() - started)
        connection.close()

    made = [Connection(parts.hostname or "", parts.port or 0, token) for _ in range(clients)]
    await asyncio.gather(*map(client, made))
    return 1000 * statistics.quantiles(times, n=100)[98]


def _commands(home: Path, url: str, token: str, postgres: EmbeddedServer, rounds: int) -> None:
    """Measure commands without and during rebuilds of 100,000 events, in turns."""
    conninfo = postgres.conninfo("cronledger")
    with psycopg.connect(conninfo) as connection:
        row = connection.execute("SELECT ledger_id FROM ledger.identity").fetchone()
    ledger_id: UUID = row[0] if row else UUID(int=0)
    keys = Keys(bytes.fromhex((home / "secret-key").read_text().strip()))
    seed(conninfo, ledger_id, keys, 100_000)
    words = [sys.executable, "-m", "cli.main", "rebuild", "--json"]
    environment = {**os.environ, "CRONLEDGER_HOME": str(home)}
    subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
    ratios = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for _ in range(rounds):
            with subprocess.Popen(
                words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as beside:
                busy = runner.run(_latencies(url, token, 16, lambda: beside.poll() is None))
                said = json.loads(beside.stdout.read()) if beside.stdout else {}
            over = _after(float(said["seconds"]))
            quiet = runner.run(_latencies(url, token, 16, over))
            print(f"p99 of creates: {quiet:7.1f} ms alone, {busy:7.1f} ms beside a rebuild")
            ratios.append(busy / quiet)
    print(f"beside / alone: {statistics.median(ratios):.2f} x")


def _after(seconds: float) -> Callable[[], bool]:
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() < end


def _plot(rates: dict[int, dict[str, float]], path: Path) -> None:
    try:
        from matplotlib import pyplot as plt  # noqa: PLC0415 - only here
    except ImportError:
        print("matplotlib is not installed: no plot is drawn")
        return
    for name in _PASSES:
        plt.plot(list(rates), [rates[events][name] for events in rates], marker="o", label=name)
    plt.xscale("log")
    plt.ylim(bottom=0)
    plt.xlabel("events in the log")
    plt.ylabel("events per second")
    plt.legend()
    plt.savefig(path)
    print(f"drew {path}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, action="append", help="how large a log; repeatable")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slice", type=int, default=3000, help="events for the ProjectionRunner")
    args = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="cronledger-bench-"))
    server, url, token = served(home)
    postgres = EmbeddedServer(home)  # beside the server that owns the home: only its address
    try:
        versions = (f"{name} {version(name)}" for name in ("eventsourcing", "psycopg", "msgspec"))
        machine(list(versions))
        database.create_database(postgres.conninfo(), "library")
        library_rate = projection.rate(postgres.conninfo("library"), args.slice)
        print(f"eventsourcing ProjectionRunner, {args.slice:,} events: {library_rate:,.0f} /s")
        rates = _sizes(postgres, args.events or SIZES, args.rounds)
        for events, found in rates.items():
            times = found[REBUILD] / library_rate
            print(f"{events:,} events: rebuild is {times:,.0f} x the ProjectionRunner")
        _commands(home, url, token, postgres, args.rounds)
        _plot(rates, Path(__file__).parents[1] / "docs" / "rebuild.svg")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
