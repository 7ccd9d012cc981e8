"""How long commands over HTTP take while nothing else is done, and beside a rebuild.

A steady and moderate load: each client thinks before its next command. Clients that ask again at
once would measure how two cores are shared, not who has to wait for whom. A checkpoint comes first,
so that the seeded rows are not written meanwhile; those that rebuilds bring about are measured.
"""

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psycopg
import uvloop

from bench.connection import Connection
from bench.measure import Measure, Ratio, paired
from bench.seeding import seed
from store.embedded import EmbeddedServer
from store.keys import Keys

ALONE, BESIDE = "p99 of creates, alone", "p99 of creates, beside a rebuild"
CLIENTS: Final = 8
_THINK_SECONDS: Final = 0.03
_SECONDS_MIN: Final = 3.0
_BODY: Final = b'{"job_name":"bench","command":"true"}'


def waits(home: Path, url: str, token: str, events: int, rounds: int) -> list[Measure]:
    """Fill the server's ledger, and measure without and during rebuilds of it, in turns."""
    postgres = EmbeddedServer(home)
    conninfo = postgres.conninfo("cronledger")
    with psycopg.connect(conninfo) as connection:
        ((ledger_id,),) = connection.execute("SELECT ledger_id FROM ledger.identity").fetchall()
    keys = Keys(bytes.fromhex((home / "secret-key").read_text().strip()))
    seed(conninfo, ledger_id, keys, events)
    print(f"\n{CLIENTS} clients beside rebuilds of {events:,} events", flush=True)
    words = [sys.executable, "-m", "cli.main", "rebuild", "--json"]
    environment = {**os.environ, "CRONLEDGER_HOME": str(home)}
    subprocess.run(words, env=environment, check=True, capture_output=True)
    # What was seeded is put on the disk before, not during what is measured.
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    alone, busy = Measure(ALONE, "ms", []), Measure(BESIDE, "ms", [])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_times(url, token, _after(1.0)))  # to warm up
        for number in range(1, rounds + 1):
            with subprocess.Popen(
                words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as rebuild:
                during = runner.run(_times(url, token, lambda: rebuild.poll() is not None))
                said = rebuild.stdout.read() if rebuild.stdout else b""
            if rebuild.returncode:
                raise RuntimeError("the rebuild failed")
            seconds = max(_SECONDS_MIN, float(json.loads(said)["seconds"]))
            quiet = runner.run(_times(url, token, _after(seconds)))
            for measure, times in ((alone, quiet), (busy, during)):
                measure.values.append(1000 * statistics.quantiles(times, n=100)[98])
                print(
                    f"  round {number}/{rounds}  {measure.name:<34} {measure.values[-1]:>7.1f} ms"
                    f"  of {len(times):,}, median {1000 * statistics.median(times):.1f} ms",
                    flush=True,
                )
    return [alone, busy]


def ratio(measures: list[Measure]) -> Ratio:
    """Return how much longer commands take beside a rebuild, with its goal."""
    alone, busy = measures
    found = paired(f"{BESIDE} / alone", busy.values, alone.values)
    found.goal, found.at_least = 3, False
    return found


async def _times(url: str, token: str, is_over: Callable[[], bool]) -> list[float]:
    """Create executions until it is over; return how long each took, in seconds."""
    parts, times, chance = urlsplit(url), [], random.Random(7)

    async def client(connection: Connection) -> None:
        await connection.open()
        while not is_over():
            await asyncio.sleep(chance.expovariate(1 / _THINK_SECONDS))
            started = time.perf_counter()
            await connection.json("/v1/cron-executions", _BODY, 201)
            times.append(time.perf_counter() - started)
        connection.close()

    made = [Connection(parts.hostname or "", parts.port or 0, token) for _ in range(CLIENTS)]
    await asyncio.gather(*map(client, made))
    return times


def _after(seconds: float) -> Callable[[], bool]:
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() >= end
