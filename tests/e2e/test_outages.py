"""Outages of the server and its database under running commands: no false outcome, ever.

Every run says its seed; SOAK_SEED repeats its choices.
"""

import contextlib
import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support import invariants
from tests.support.agents import running_agent
from tests.support.calls import Reply, eventually, fresh
from tests.support.fault_proxy import FaultProxy, Faults, running_proxy
from tests.support.server import ServerProcess, running_server
from tests.support.tokens import owner_conninfo

# Most outages outlast a lease.
SETTINGS: Final = {
    "CRONLEDGER_LEASE_SECONDS": "3",
    "CRONLEDGER_HEARTBEAT_SECONDS": "0.5",
    "CRONLEDGER_SWEEP_SECONDS": "0.1",
}
OUTAGE_SECONDS: Final = (0.2, 5.0)
AGENT: Final = "worker"
_SECONDS: Final = 60.0


class Commands:
    """Commands that run while outages come and go, each with an end that is known before."""

    def __init__(self, server: ServerProcess, chance: random.Random) -> None:
        self._server = server
        self._chance = chance
        self.expected: dict[str, tuple[str, int, str]] = {}

    def keep_running(self, at_least: int) -> None:
        """See to it that so many run or wait: an outage should meet some."""
        api = self._server.api
        alive = [
            one
            for status in ("running", "pending")
            for one in _once_back(api.get, "", {"status": status}).json()["data"]
        ]
        for _ in range(at_least - len(alive)):
            self._create()

    def _create(self) -> None:
        code, seconds = self._chance.choice([0, 0, 3]), self._chance.uniform(0.1, 4)
        said = fresh("said")
        line = f"echo {said}; sleep {seconds:.2f}; echo end; exit {code}"
        body = {"job_name": "outages", "command": line, "pinned_agent_id": AGENT}
        key = {"Idempotency-Key": said}
        created = _once_back(self._server.api.post, "", body, headers=key).json()
        status = "success" if code == 0 else "failed"
        self.expected[created["id"]] = (status, code, f"{said}\nend\n")

    def check(self) -> None:
        """Every command has its own, true outcome, its whole output, and nothing came late."""
        wrong = []
        for one, expected in self.expected.items():
            row = self._server.api.until_ended(one, _SECONDS)
            found = (row["status"], row["exit_code"], row["output"])
            if found != expected or row["late_outcome"] is not None:
                wrong.append((expected, row, self._server.api.get(f"/{one}/events").json()))
        assert not wrong, f"expected, found, and its events: {wrong}"


def _once_back(ask: Callable[..., Reply], *asked: Any, **options: Any) -> Reply:
    """Ask until there is an answer: a database that has just come back may be missed once more."""

    def look() -> Reply | None:
        try:
            reply = ask(*asked, **options)
        except OSError:
            return None
        return None if reply.status == 503 else reply.ok(200, 201)

    found = eventually(look, "an answer", _SECONDS)
    assert found is not None
    return found


def _postmaster(server: ServerProcess) -> int:
    (path,) = server.home.glob("*/postmaster.pid")
    return int(path.read_text().split()[0])


def _database_processes(server: ServerProcess) -> list[int]:
    """The postmaster and its children, each of which is a session of its own."""
    postmaster = _postmaster(server)
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]


def _kill_server(server: ServerProcess, seconds: float) -> None:
    port = int(server.url.rpartition(":")[2])
    server.kill()
    _pass(seconds)
    server.start(port=port)


def _stop_server(server: ServerProcess, seconds: float) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    _pass(seconds)
    os.kill(server.pid, signal.SIGCONT)


def _kill_database(server: ServerProcess, _seconds: float) -> None:
    os.kill(_postmaster(server), signal.SIGKILL)


def _stop_database(server: ServerProcess, seconds: float) -> None:
    stopped = _database_processes(server)
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.kill(pid, number)
        if number == signal.SIGSTOP:
            _pass(seconds)


def _pass(seconds: float) -> None:
    """Let an outage last: its length is what is tested."""
    threading.Event().wait(seconds)


OUTAGES: Final[dict[str, Callable[[ServerProcess, float], None]]] = {
    "the server is killed": _kill_server,
    "the server stands still": _stop_server,
    "the database is killed": _kill_database,
    "the database stands still": _stop_database,
}


def _is_back(server: ServerProcess) -> bool:
    try:
        return server.api.with_token(None).request("GET", "/health/ready").status == 200
    except OSError:
        return False


def _survive(outages: list[str], chance: random.Random) -> None:
    with running_server(settings=SETTINGS) as server:
        commands = Commands(server, chance)
        faults = Faults(delay_seconds=0.02, cut=0.01, lose_answer=0.02)
        with running_proxy(server.url, chance, faults) as proxy, _agent(server, proxy):
            for number, kind in enumerate(outages, 1):
                _until_some_run(server, commands)
                print(f"{number}/{len(outages)} {kind}", flush=True)  # noqa: T201 - the progress
                OUTAGES[kind](server, chance.uniform(*OUTAGE_SECONDS))
                eventually(lambda: _is_back(server), "the server's return", _SECONDS)
            commands.check()
        invariants.check(owner_conninfo(server))
        assert "Traceback" not in server.stderr


def _until_some_run(server: ServerProcess, commands: Commands) -> None:
    def some() -> bool:
        commands.keep_running(6)  # some may end before three are seen to run
        rows = _once_back(server.api.get, "", {"status": "running"}).json()["data"]
        return len(rows) >= 3

    eventually(some, "running commands", _SECONDS)


def _agent(server: ServerProcess, proxy: FaultProxy) -> Any:
    return running_agent(server, agent_id=AGENT, url=proxy.url)


def test_an_outage_ends_no_command(chance: random.Random) -> None:
    """Given commands run, an outage of any kind is no reason to call one of them lost."""
    _survive(sorted(OUTAGES), chance)


@pytest.mark.soak
def test_200_outages_make_no_false_outcome(chance: random.Random) -> None:
    """200 outages of server and database, answers lost and connections cut: all outcomes true."""
    _survive([chance.choice(sorted(OUTAGES)) for _ in range(200)], chance)
