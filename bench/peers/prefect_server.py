"""A Prefect server on the benchmark's PostgreSQL, asked over its REST API.

Without its background services, which would do other work meanwhile, without its pages and
telemetry, and with a connection for each client.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from bench.connection import Connection
from bench.peers.environments import program

LISTED: Final = 50
_READY_SECONDS: Final = 400  # the first start makes the tables
_RUNNING: Final = b'{"state":{"type":"RUNNING"}}'
_COMPLETED: Final = b'{"state":{"type":"COMPLETED"}}'
_NEWEST: Final = b'{"sort":"EXPECTED_START_TIME_DESC","limit":50}'


@contextmanager
def prefect_server(conninfo: str, folder: Path) -> Iterator[str]:
    """Run a server on this database, and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    info = conninfo_to_dict(conninfo)
    user, password, host = (quote(str(info[k]), safe="") for k in ("user", "password", "host"))
    settings = {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_DATABASE_CONNECTION_URL": (
            f"postgresql+asyncpg://{user}:{password}@/{info['dbname']}?host={host}"
        ),
        "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE": "16",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "DO_NOT_TRACK": "1",
    }
    words = [str(program("prefect", "prefect")), "server", "start", "--host", "127.0.0.1"]
    process = subprocess.Popen(
        # Clients keep their connections while the others have their turns.
        [*words, "--port", str(port), "--keep-alive-timeout", "3600", "--no-services", "--no-ui"],
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _await_answer(f"{url}/api/health", process)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_answer(url: str, process: "subprocess.Popen[bytes]") -> None:
    patience = time.monotonic() + _READY_SECONDS
    while True:
        try:
            with urlopen(url, timeout=5):  # noqa: S310 - an address of our own
                return
        except (URLError, OSError) as error:
            if process.poll() is not None or time.monotonic() > patience:
                raise RuntimeError("Prefect's server does not answer") from error
            time.sleep(0.2)


class Lives:
    """Clients' lives of flow runs: create, set Running, set Completed, each a request."""

    def __init__(self) -> None:
        self._flow: bytes | None = None

    async def run(self, connection: Connection, end: float) -> int:
        """Be one client; return how many flow runs were completed."""
        if self._flow is None:
            flow = await connection.json("/api/flows/", b'{"name":"bench"}', {200, 201})
            self._flow = b'{"flow_id":"%s","state":{"type":"PENDING"}}' % flow["id"].encode()
        done = 0
        while time.perf_counter() < end:
            run = await connection.json("/api/flow_runs/", self._flow, {200, 201})
            path = f"/api/flow_runs/{run['id']}/set_state"
            await connection.json(path, _RUNNING, {200, 201})
            await connection.json(path, _COMPLETED, {200, 201})
            done += 1
        return done


async def newest(connection: Connection, end: float) -> int:
    """Be one client that asks for the newest 50 flow runs; return how often it was answered."""
    done = 0
    while time.perf_counter() < end:
        listed: Any = await connection.json("/api/flow_runs/filter", _NEWEST, {200})
        if len(listed) != LISTED:
            raise RuntimeError(f"Prefect listed {len(listed)} flow runs instead of {LISTED}")
        done += 1
    return done


def seed(conninfo: str, count: int) -> None:
    """Copy a completed flow run, with the state it is in, until there are so many more."""
    statements = resources.files("bench.peers").joinpath("prefect_seed.sql").read_text("utf-8")
    with psycopg.connect(conninfo, autocommit=True) as connection:
        with connection.transaction():
            columns = {
                f"{table}_columns": _others(connection, table, named)
                for table, named in (
                    ("flow_run", _VARYING),
                    ("flow_run_state", ("id", "flow_run_id", "timestamp")),
                )
            }
            for statement in statements.split(";\n"):
                if statement.strip():
                    text = sql.SQL(statement.strip())
                    connection.execute(text.format(count=sql.Literal(count), **columns))
        for table in ("flow_run", "flow_run_state"):
            connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(table)))


_VARYING: Final = (
    *("id", "name", "state_id", "idempotency_key", "created", "expected_start_time"),
    *("start_time", "end_time", "state_timestamp"),
)


def _others(
    connection: "psycopg.Connection[Any]", table: str, named: tuple[str, ...]
) -> sql.Composed:
    found = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s"
        " AND is_generated = 'NEVER' AND NOT column_name = ANY(%s) ORDER BY ordinal_position",
        [table, list(named)],
    )
    return sql.SQL(", ").join(sql.Identifier(name) for (name,) in found.fetchall())
