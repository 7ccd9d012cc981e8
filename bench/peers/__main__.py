"""Cronledger over HTTP beside Prefect's server, Procrastinate and pgqueuer, on one PostgreSQL.

All use one PostgreSQL server, fsync on, with the settings of our embedded one, each a database of
its own. Prefect needs the extension pg_trgm, which the embedded wheel does not carry: so Debian's
PostgreSQL is taken where it is installed (or what CRONLEDGER_POSTGRES_BIN names); else Prefect is
left out. Lives: ours and
Prefect's are three requests over HTTP; the queues' jobs are put in through their own Python API,
taken and finished by their own worker, without HTTP. Lists: the newest 50 of as many executions
or flow runs, over HTTP.

Run: python -m bench.peers [--count 100000] [--rounds 5] [--seconds 4] [--json FOLDER]
"""

import argparse
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import psycopg

from bench import lists
from bench.http import Clients, life, running
from bench.measure import interleave, machine, rates_and_ratios, report, write_result
from bench.peers import prefect_server
from bench.peers.environments import Queue, postgres_for_prefect, version_of
from bench.seed import fill
from store import database
from store.embedded import EmbeddedServer

OURS = "Cronledger over HTTP"
PREFECT = "Prefect server, three requests a life"
QUEUES = ("procrastinate", "pgqueuer")
AT_ONCE = 100
CLIENTS, LISTING_CLIENTS = 16, 8
_LIFE_GOALS = {PREFECT: 80, "procrastinate, no HTTP": 2.5}
_PREFECT_LISTS = "Prefect server, POST /flow_runs/filter"
_PROGRAMS = "CRONLEDGER_POSTGRES_BIN"
_TURNS = "{rounds} rounds of {seconds:g} s each, in turns."


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="executions and flow runs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--json", type=Path, help="also write the results into this folder")
    args = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="cronledger-bench-"))
    programs = os.environ.get(_PROGRAMS) or postgres_for_prefect()
    if programs is None:
        print(f"no PostgreSQL with pg_trgm, or {_PROGRAMS}: Prefect is left out", flush=True)
    else:
        os.environ[_PROGRAMS] = str(programs)
    peers = (*QUEUES, "prefect") if programs else QUEUES
    try:
        with contextlib.ExitStack() as stack:
            _measure(home, peers, args, stack)
    finally:
        shutil.rmtree(home)


def _measure(
    home: Path, peers: tuple[str, ...], args: argparse.Namespace, stack: contextlib.ExitStack
) -> None:
    versions = [version_of(peer) for peer in peers]
    fill(home, args.count)
    print(f"seeded {args.count:,} executions", flush=True)
    url, token = stack.enter_context(running(home))
    postgres = EmbeddedServer(home)  # beside the server that owns the home: only its address
    for peer in peers:
        database.create_database(postgres.conninfo(), peer)
    with psycopg.connect(postgres.conninfo()) as connection:
        versions.append(f"PostgreSQL {connection.info.parameter_status('server_version')}")
    machine(versions)
    prefect_database, prefect_url = postgres.conninfo("prefect"), None
    if "prefect" in peers:
        prefect_url = stack.enter_context(
            prefect_server.prefect_server(prefect_database, home / "prefect")
        )
        print("Prefect's server answers", flush=True)
    queues = {}
    for peer in QUEUES:
        queues[peer] = Queue(peer, postgres.conninfo(peer))
        stack.callback(queues[peer].close)
    _lives((url, token), prefect_url, queues, args, versions)
    if prefect_url is not None:
        prefect_server.seed(prefect_database, args.count)
        print(f"seeded {args.count:,} flow runs", flush=True)
        _lists((url, token), prefect_url, args, versions)


def _lives(
    ours: tuple[str, str],
    prefect_url: str | None,
    queues: dict[str, Queue],
    args: argparse.Namespace,
    versions: list[str],
) -> None:
    contenders: dict[str, Callable[[float], int]] = {
        OURS: Clients(*ours, CLIENTS, life).run,
    }
    if prefect_url is not None:
        lives = prefect_server.Lives()
        contenders[PREFECT] = Clients(prefect_url, "none", CLIENTS, lives.run).run
    for peer, queue in queues.items():
        contenders[f"{peer}, no HTTP"] = _putting(queue, 1)
        contenders[f"{peer}, no HTTP, put in by {AT_ONCE}"] = _putting(queue, AT_ONCE)
    rates = interleave(contenders, rounds=args.rounds, seconds=args.seconds)
    report(rates, unit="lifecycles", ours=OURS)
    measures, ratios = rates_and_ratios(rates, unit="lifecycles", ours=OURS, goals=_LIFE_GOALS)
    write_result(
        args.json and args.json / "peers-lives.json",
        name="lives beside others",
        what=f"{CLIENTS} clients each, one PostgreSQL for all. Cronledger: create, claim and "
        f"complete over HTTP, on a ledger of {args.count:,} executions. Prefect's server without "
        "its background services: create, set Running and set Completed over HTTP. procrastinate "
        f"and pgqueuer: {CLIENTS} clients put jobs in through the Python API, one at a time or "
        f"{AT_ONCE} at once, one worker process takes and finishes them ({CLIENTS} at a time; "
        "pgqueuer in batches of 100); a turn counts what is finished, until the queue is empty. "
        + _TURNS.format(rounds=args.rounds, seconds=args.seconds),
        measures=measures,
        ratios=ratios,
        versions=versions,
    )


def _putting(queue: Queue, batch: int) -> Callable[[float], int]:
    return lambda seconds: queue.run(seconds, batch)


def _lists(
    ours: tuple[str, str], prefect_url: str, args: argparse.Namespace, versions: list[str]
) -> None:
    contenders = {
        lists.OURS: Clients(*ours, LISTING_CLIENTS, lists.newest).run,
        _PREFECT_LISTS: Clients(prefect_url, "none", LISTING_CLIENTS, prefect_server.newest).run,
    }
    rates = interleave(contenders, rounds=args.rounds, seconds=args.seconds)
    report(rates, unit="lists", ours=lists.OURS)
    goals = {_PREFECT_LISTS: 50}
    measures, ratios = rates_and_ratios(rates, unit="lists", ours=lists.OURS, goals=goals)
    write_result(
        args.json and args.json / "peers-lists.json",
        name="lists beside others",
        what=f"{LISTING_CLIENTS} clients over loopback ask for the newest 50 of {args.count:,} "
        "executions, and Prefect's server for the newest 50 of as many flow runs with one state "
        "each. " + _TURNS.format(rounds=args.rounds, seconds=args.seconds),
        measures=measures,
        ratios=ratios,
        versions=versions,
    )


if __name__ == "__main__":
    main()
