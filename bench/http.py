"""Durable lifecycles over HTTP against the eventsourcing library's Application without HTTP.

Ours: `cronledger serve` as anyone starts it (validation, authentication, OpenAPI fields, read
model, fsync on), clients over loopback: create, claim, complete, each a request. Theirs:
Application.save in this process, on the same PostgreSQL, as many threads as there are clients.
Beside them litestar answering a POST of the same size without any database: what the framework
leaves us at best.

Run: python -m bench.http [--rounds 5] [--seconds 4] [--clients 16] [--json FILE]
"""

import argparse
import asyncio
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
import uvloop
from litestar import Litestar, Request, Response, post
from litestar.handlers import HTTPRouteHandler

from bench import library
from bench.connection import Connection
from bench.measure import interleave, machine, rates_and_ratios, report, write_result
from store import database
from store.embedded import EmbeddedServer

OURS = "Cronledger over HTTP"
LIBRARY = "eventsourcing Application, no HTTP"
BARE = "litestar POST, no database (three a life)"
GOALS = {LIBRARY: 8, BARE: 0.45}
_PATH = "/v1/cron-executions"
_CREATE = b'{"job_name":"bench","command":"true","environment":{"A":"1"}}'
_CLAIM = b'{"agent_id":"bench"}'
_COMPLETE = b'{"outcome":"exited","exit_code":0,"duration_ms":12}'

Client = Callable[[Connection, float], Coroutine[Any, Any, int]]


async def life(connection: Connection, end: float) -> int:
    """Be one client; return how many executions were completed."""
    done = 0
    while time.perf_counter() < end:
        await connection.json(_PATH, _CREATE, 201)
        claimed = await connection.json(f"{_PATH}/claim", _CLAIM, 200)
        execution_id, token = claimed["execution"]["id"], claimed["lease"]["token"]
        path = f"{_PATH}/{execution_id}/complete"
        await connection.json(path, _COMPLETE, 200, f"Lease-Token: {token}\r\n")
        done += 1
    return done


async def _three_posts(connection: Connection, end: float) -> int:
    done = 0
    while time.perf_counter() < end:
        for body in (_CREATE, _CLAIM, _COMPLETE):
            await connection.json("/", body, 200)
        done += 1
    return done


class Clients:
    """Clients of one server, on an event loop of their own."""

    def __init__(self, url: str, token: str, count: int, client: Client) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        parts = urlsplit(url)
        self._client = client
        self._connections = [
            Connection(parts.hostname or "", parts.port or 0, token) for _ in range(count)
        ]
        self._runner.run(self._open())

    async def _open(self) -> None:
        for connection in self._connections:
            await connection.open()

    def run(self, seconds: float) -> int:
        """Run for so long and return how much was done."""
        return self._runner.run(self._run(seconds))

    async def _run(self, seconds: float) -> int:
        end = time.perf_counter() + seconds
        done = await asyncio.gather(*(self._client(one, end) for one in self._connections))
        return sum(done)


@post("/", status_code=200)
async def _echo(request: Request[Any, Any, Any]) -> Response[bytes]:
    body = await request.body()
    return Response(b'{"echo":' + body + b"," + b'"x":"' + b"y" * 560 + b'"}')


def _serve_bare(handler: HTTPRouteHandler, listening: socket.socket) -> None:
    config = uvicorn.Config(
        Litestar([handler]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        timeout_keep_alive=3600,
        log_config=None,
    )
    uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def served_bare(handler: HTTPRouteHandler) -> Iterator[str]:
    """Serve one handler without anything of ours around it, and yield the address."""
    listening = socket.create_server(("127.0.0.1", 0))
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_serve_bare, args=[handler, listening], daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        process.terminate()
        process.join()
        listening.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--json", type=Path, help="also write the result there")
    args = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="cronledger-bench-"))
    try:
        with served_bare(_echo) as bare_url, running(home) as (url, token):
            _measure(url, token, home, bare_url, args)
    finally:
        shutil.rmtree(home)


@contextmanager
def running(home: Path) -> Iterator[tuple[str, str]]:
    """Run a server meanwhile; yield its address and the admin's token."""
    server, url, token = served(home)
    try:
        yield url, token
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def served(home: Path) -> "tuple[subprocess.Popen[str], str, str]":
    """Start a server; return its process, its address and the admin's token."""
    server = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "CRONLEDGER_HOME": str(home)},
    )
    if server.stdout is None:
        raise RuntimeError("the server has no standard output")
    url = server.stdout.readline().removeprefix("ready ").strip()
    return server, url, (home / "admin-token").read_text().strip()


def _measure(url: str, token: str, home: Path, bare_url: str, args: argparse.Namespace) -> None:
    postgres = EmbeddedServer(home)  # beside the server that owns the home: only its address
    database.create_database(postgres.conninfo(), "library")
    peer = library.application(postgres.conninfo("library"), args.clients)
    ours = Clients(url, token, args.clients, life)
    bare = Clients(bare_url, "none", args.clients, _three_posts)
    versions = [f"{name} {version(name)}" for name in ("eventsourcing", "litestar", "uvicorn")]
    machine(versions)
    print(f"{args.clients} clients, fsync on, {args.rounds} rounds of {args.seconds:g} s each")
    contenders: dict[str, Callable[[float], int]] = {
        OURS: ours.run,
        LIBRARY: lambda seconds: library.lifecycles(peer, args.clients, seconds),
        BARE: bare.run,
    }
    rates = interleave(contenders, rounds=args.rounds, seconds=args.seconds)
    report(rates, unit="lifecycles", ours=OURS)
    measures, ratios = rates_and_ratios(rates, unit="lifecycles", ours=OURS, goals=GOALS)
    write_result(
        args.json,
        name="commands over HTTP",
        what=f"{args.clients} clients over loopback, each create, claim and complete a request of "
        "its own and a durable command, validation, authentication and the read model on. Beside "
        "it the eventsourcing library's Application without HTTP, a thread a client, and litestar "
        "answering POSTs of the same size without a database. "
        f"{args.rounds} rounds of {args.seconds:g} s each, in turns.",
        measures=measures,
        ratios=ratios,
        versions=versions,
    )
    peer.close()


if __name__ == "__main__":
    main()
