"""The newest 50 over HTTP, beside litestar answering the same list without a database.

`cronledger serve` as anyone starts it, on 100,000 seeded executions (bench/seed.py). litestar
encodes the very page that the server answered, kept decoded in memory: what the framework leaves
us at best. Those who ask for the same list at once are answered by one read; so we are also
measured with clients who ask each for another.

Run: python -m bench.lists [--count 100000] [--rounds 5] [--seconds 4] [--clients 8] [--json FILE]
"""

import argparse
import itertools
import json
import shutil
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from litestar import get

from bench.connection import Connection
from bench.http import Clients, running, served_bare
from bench.measure import interleave, machine, paired, rates_and_ratios, report, write_result
from bench.seed import fill

OURS = "Cronledger, newest 50"
OTHERS = "Cronledger, another 50 each"
BARE = "litestar, the same 50 without a database"
PATH = "/v1/cron-executions?limit=50"
GOALS = {BARE: 0.45}
_numbers = itertools.count()


async def newest(connection: Connection, end: float, path: str = PATH) -> int:
    """Be one client that asks for the newest 50; return how often it was answered."""
    done = 0
    while time.perf_counter() < end:
        status, body = await connection.get(path)
        if status != 200:
            raise RuntimeError(f"{path} answered {status}: {body[:300]!r}")
        done += 1
    return done


async def others(connection: Connection, end: float) -> int:
    """Be one client that asks for a list of its own, which no other read answers."""
    return await newest(connection, end, f"{PATH}&offset={next(_numbers) % 50}")


def page(url: str, token: str) -> dict[str, Any]:
    """Return the page once, decoded."""
    asked = Request(url + PATH, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - ours
    with urlopen(asked, timeout=30) as answer:  # noqa: S310 - an address of our own
        found: dict[str, Any] = json.load(answer)
    assert len(found["data"]) == 50
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--json", type=Path, help="also write the result there")
    args = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="cronledger-bench-"))
    try:
        fill(home, args.count)
        with running(home) as (url, token):
            _measure(url, token, args)
    finally:
        shutil.rmtree(home)


def _measure(url: str, token: str, args: argparse.Namespace) -> None:
    kept = page(url, token)

    @get(PATH.partition("?")[0])
    async def same(limit: int) -> dict[str, Any]:
        assert limit == 50
        return kept

    versions = [f"{name} {version(name)}" for name in ("litestar", "uvicorn")]
    machine(versions)
    with served_bare(same) as bare_url:
        contenders = {
            OURS: Clients(url, token, args.clients, newest).run,
            OTHERS: Clients(url, token, args.clients, others).run,
            BARE: Clients(bare_url, "none", args.clients, newest).run,
        }
        rates = interleave(contenders, rounds=args.rounds, seconds=args.seconds)
    report(rates, unit="lists", ours=OURS)
    measures, ratios = rates_and_ratios(rates, unit="lists", ours=OURS, goals=GOALS)
    ratios = [*ratios, paired(f"{OTHERS} / {BARE}", rates[OTHERS], rates[BARE])]
    write_result(
        args.json,
        name="lists over HTTP",
        what=f"{args.clients} clients over loopback ask for the newest 50 of {args.count:,} seeded "
        "executions, authentication on, and each for another 50. Beside it litestar encoding the "
        "same page, held in memory. "
        f"{args.rounds} rounds of {args.seconds:g} s each, in turns.",
        measures=measures,
        ratios=ratios,
        versions=versions,
    )


if __name__ == "__main__":
    main()
