"""The ledger layer against the eventsourcing library's Application, on the same PostgreSQL.

Ours: the group-commit appender with the read model in the same transaction, one process. Theirs:
Application.save as documented, a thread and a connection for each client. A lifecycle is create,
start, complete: three durable commands. Beside them bare psycopg: the same number of event and
read-model rows, inserted and upserted by hand in batches of as many rows as there are clients;
and pgbench committing one row at a time, a lifecycle being three such commits.

Run: python -m bench.append [--rounds 5] [--seconds 4] [--clients 64] [--json FILE]
"""

import argparse
import asyncio
import secrets
import shutil
import tempfile
import time
from collections.abc import Coroutine, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import uvloop

from api import wire
from api.app import create_ledger
from api.ledger import Ledger
from api.settings import load
from bench import library
from bench.commits import pgbench
from bench.measure import interleave, machine, rates_and_ratios, report, write_result
from domain import commands
from domain.events import Ending
from projections.read_models import READ_MODELS
from store import database
from store.changes import Projection
from store.configurations import Job, seal
from store.embedded import EmbeddedServer
from store.keys import Keys, new_secret
from store.output import NOTHING
from store.work import ClaimNext, Work

OURS = "Cronledger appender, read model included"
LIBRARY = "eventsourcing Application"
BARE = "bare psycopg, batches (upper bound)"
COMMITS = "pgbench, one-row commits (three a life)"
_COMMITTING_MAX = 16  # the library holds a connection a client, and the server allows 100
GOALS = {LIBRARY: 25, BARE: 0.7}


class Ours:
    """The appender with as many clients as asked for, on an event loop of its own."""

    def __init__(  # noqa: PLR0917 - what a ledger needs
        self,
        home: Path,
        conninfo: str,
        keys: Keys,
        ledger_id: UUID,
        clients: int,
        read_models: Sequence[Projection] = READ_MODELS,
    ) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._clients = clients
        self._keys = keys
        self._ledger: Ledger = create_ledger(load(home), conninfo, ledger_id, keys, read_models)
        self._do(self._ledger.appender.start())

    def _do(self, work: Coroutine[Any, Any, int | None]) -> int:
        return self._runner.run(work) or 0

    def lifecycles(self, seconds: float) -> int:
        """Run for so long and return how many lifecycles were completed."""
        return self._do(self._run(seconds))

    async def _run(self, seconds: float) -> int:
        end = time.perf_counter() + seconds
        return sum(await asyncio.gather(*(self._client(n, end) for n in range(self._clients))))

    async def _client(self, number: int, end: float) -> int:
        ledger, done = self._ledger, 0
        job = Job(f"job-{number}", "bench", "true", 300)
        now = wire.now
        while time.perf_counter() < end:
            configuration, digest = seal(job, self._keys)
            execution_id = ledger.new_id()
            create = commands.Create(
                at=now(),
                by="operator:bench",
                command_id=ledger.new_id(),
                execution_id=execution_id,
                job_id=job.job_id,
                configuration=digest,
                triggered_by="manual",
                timeout_seconds=300,
            )
            await ledger.appender.submit(Work(create, fresh=True, configuration=configuration))
            claim = ClaimNext(now(), "agent:bench", ledger.new_id(), "bench")
            claimed = (await ledger.appender.submit(Work(claim))).execution
            if claimed is None or claimed.fence is None:
                continue
            complete = commands.Complete(
                at=now(),
                by="agent:bench",
                command_id=ledger.new_id(),
                execution_id=claimed.id,
                fence=claimed.fence,
                outcome="exited",
                ending=Ending(1, NOTHING, NOTHING, exit_code=0),
            )
            await ledger.appender.submit(Work(complete))
            done += 1
        return done

    def close(self) -> None:
        """Stop the writer."""
        self._do(self._ledger.appender.stop())
        self._runner.close()


class Bare:
    """What PostgreSQL and psycopg can do at best with such rows: no rules, no chain, no queue."""

    def __init__(self, conninfo: str, batch: int) -> None:
        self._connection = psycopg.connect(conninfo, autocommit=True)
        self._connection.execute(
            b"CREATE TABLE bare_events (position bigint PRIMARY KEY, stream_id bigint, version int,"
            b" type text, payload bytea, UNIQUE (stream_id, version));"
            b"CREATE TABLE bare_rows (id bigint PRIMARY KEY, status text, position bigint)"
        )
        self._batch = batch
        self._position = 0

    def lifecycles(self, seconds: float) -> int:
        """Run for so long and return how many lifecycles were written."""
        end, done, payload = time.perf_counter() + seconds, 0, secrets.token_bytes(150)
        while time.perf_counter() < end:
            first = self._position
            for version_, status in enumerate(("pending", "running", "success"), 1):
                positions = list(range(self._position + 1, self._position + self._batch + 1))
                streams = list(range(first + 1, first + self._batch + 1))
                self._write(positions, streams, version_, status, payload)
                self._position += self._batch
            done += self._batch
        return done

    def _write(
        self, positions: list[int], streams: list[int], number: int, status: str, payload: bytes
    ) -> None:
        with self._connection.pipeline(), self._connection.transaction():
            self._connection.execute(
                "INSERT INTO bare_events SELECT p, s, %s, %s, %b"
                " FROM unnest(%s::bigint[], %s::bigint[]) AS u (p, s)",
                [number, f"execution.{status}", payload, positions, streams],
            )
            self._connection.execute(
                "INSERT INTO bare_rows SELECT s, %s, p"
                " FROM unnest(%s::bigint[], %s::bigint[]) AS u (p, s)"
                " ON CONFLICT (id) DO UPDATE SET status = excluded.status,"
                " position = excluded.position",
                [status, positions, streams],
            )

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--json", type=Path, help="also write the result there")
    args = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="cronledger-bench-"))
    try:
        with EmbeddedServer(home) as server:
            _measure(server, home, args)
    finally:
        shutil.rmtree(home)


def _measure(server: EmbeddedServer, home: Path, args: argparse.Namespace) -> None:
    keys = Keys(new_secret())
    for name in ("cronledger", "library"):
        database.create_database(server.conninfo(), name)
    ledger_id = database.migrate(server.conninfo("cronledger"), keys, password="bench")
    conninfo = database.server_conninfo(server.conninfo("cronledger"), password="bench")
    ours = Ours(home, conninfo, keys, ledger_id, clients=args.clients)
    peer = library.application(server.conninfo("library"), args.clients)
    bare = Bare(server.conninfo("library"), args.clients)
    commits = pgbench(server.conninfo("library"), min(args.clients, _COMMITTING_MAX))
    versions = [f"{name} {version(name)}" for name in ("eventsourcing", "psycopg")]
    machine(versions)
    print(f"{args.clients} clients, fsync on, {args.rounds} rounds of {args.seconds:g} s each")
    contenders = {
        OURS: ours.lifecycles,
        LIBRARY: lambda seconds: library.lifecycles(peer, args.clients, seconds),
        BARE: bare.lifecycles,
        COMMITS: lambda seconds: commits(seconds) // 3,
    }
    try:
        rates = interleave(contenders, rounds=args.rounds, seconds=args.seconds)
        report(rates, unit="lifecycles", ours=OURS)
        measures, ratios = rates_and_ratios(rates, unit="lifecycles", ours=OURS, goals=GOALS)
        write_result(
            args.json,
            name="ledger layer",
            what=f"{args.clients} clients in process, without HTTP: create, claim and complete as "
            "durable commands through the appender, read model included. Beside it the "
            "eventsourcing library's Application (a thread and a connection a client), bare "
            "psycopg inserting and upserting the same number of rows in batches, and pgbench "
            f"committing single rows with {min(args.clients, _COMMITTING_MAX)} connections. "
            f"{args.rounds} rounds of {args.seconds:g} s each, in turns.",
            measures=measures,
            ratios=ratios,
            versions=versions,
        )
    finally:
        ours.close()
        bare.close()
        peer.close()


if __name__ == "__main__":
    main()
