"""`cronledger exec`: the command runs here as if alone, and the run is recorded."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import cronledger
from tests.support.calls import fresh
from tests.support.embedded import REPOSITORY
from tests.support.server import ServerProcess


def executed(
    quick: ServerProcess, *command: str, options: tuple[str, ...] = (), stdin: bytes = b""
) -> "tuple[subprocess.CompletedProcess[bytes], dict[str, Any]]":
    """Run a command with exec; return what the shell sees, and what is recorded."""
    job = fresh("exec")
    done = cronledger(quick, "exec", "--job", job, *options, "--", *command, stdin=stdin)
    (found,) = quick.api.newest_named(job)
    return done, quick.api.one(found["id"])


@pytest.mark.parametrize(
    ("command", "code", "status"),
    [
        (("true",), 0, "success"),
        (("sh", "-c", "exit 42"), 42, "failed"),
        (("sh", "-c", "kill -9 $$"), 137, "failed"),
        (("/no/such/program",), 127, "failed"),
        (("/etc/passwd",), 126, "failed"),
    ],
)
def test_the_exit_code_is_the_commands(
    quick: ServerProcess, command: tuple[str, ...], code: int, status: str
) -> None:
    """As a shell would see it, and the same in the record."""
    done, found = executed(quick, *command)
    assert done.returncode == code
    assert (found["status"], found["exit_code"]) == (status, code)
    assert found["command"] == list(command)
    assert (found["triggered_by"], found["attempt"]) == ("manual", 1)
    assert found["timeout_seconds"] is None
    assert quick.api.types(found["id"]) == ["created", "started", "completed"]


def test_input_and_output_pass_through_and_output_is_recorded(quick: ServerProcess) -> None:
    """Standard input reaches the command; both outputs come out byte for byte, and are kept."""
    data = bytes(range(256)) * 100
    done, found = executed(quick, "sh", "-c", "cat; printf 'warn\\377' >&2", stdin=data)
    assert (done.stdout, done.stderr, done.returncode) == (data, b"warn\xff", 0)
    assert quick.api.logs(found["id"]) == data
    assert quick.api.logs(found["id"], "stderr") == b"warn\xff"


def test_a_timeout_ends_the_command_with_124(quick: ServerProcess) -> None:
    """Only when one is asked for."""
    done, found = executed(quick, "sleep", "60", options=("--timeout", "1"))
    assert done.returncode == 124
    assert (found["status"], found["timeout_seconds"], found["signal"]) == ("timeout", 1, 15)


def test_a_signal_is_passed_on_to_the_command(quick: ServerProcess) -> None:
    """SIGTERM to exec is SIGTERM to the command, which may end in its own way."""
    job = fresh("exec")
    command = "exec 2>&-; trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.02; done"
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "exec", "--job", job, "--", "sh", "-c", command],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        env=quick.environment(),
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        os.kill(running.pid, signal.SIGTERM)
        assert running.stdout.read() == b"bye\n"
        assert running.wait(20) == 7
    (found,) = quick.api.newest_named(job)
    assert (found["status"], found["exit_code"], found["output"]) == ("failed", 7, "ready\nbye\n")


def test_a_cancel_ends_the_command(quick: ServerProcess) -> None:
    """What is canceled in the ledger ends here too."""
    job = fresh("exec")
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "exec", "--job", job, "--", "sleep", "60"],
        cwd=REPOSITORY,
        env=quick.environment(),
    ) as running:
        made = _until_listed(quick, job)
        quick.api.cancel(made).ok(202)
        assert running.wait(20) == 143
    assert quick.api.one(made)["status"] == "canceled"


def _until_listed(quick: ServerProcess, job: str) -> str:
    from tests.support.calls import eventually  # noqa: PLC0415

    def look() -> str | None:
        found = quick.api.newest_named(job)
        return str(found[0]["id"]) if found else None

    return str(eventually(look, f"the record of {job}"))


def test_a_retry_of_an_exec_is_pinned_to_its_host(quick: ServerProcess) -> None:
    """Where the command made sense, and nowhere else."""
    _, found = executed(quick, "false", options=("--agent-id", "here-1"))
    assert (found["agent_id"], found["pinned_agent_id"]) == ("here-1", "here-1")
    again = quick.api.post(f"/{found['id']}/retry").ok(201).json()
    assert again["pinned_agent_id"] == "here-1"
    quick.api.cancel(again["id"]).ok()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"CRONLEDGER_URL": "http://127.0.0.1:9"}, b""),
        ({"CRONLEDGER_TOKEN": "clk_wrong"}, b"not recorded yet"),
        ({"CRONLEDGER_URL": "nonsense"}, b"not recorded yet"),
    ],
)
def test_a_command_runs_even_if_nobody_records_it(
    quick: ServerProcess, top: Path, settings: dict[str, str], told: bytes
) -> None:
    """Server away: as if alone. Token or address wrong: one line says what is missing."""
    known = {"CRONLEDGER_TOKEN": quick.admin_token, "CRONLEDGER_URL": quick.url}
    settings = {**known, "CRONLEDGER_HOME": str(top), **settings}
    done = cronledger(
        quick, "exec", "--job", "x", "--", "sh", "-c", "echo out; exit 5", settings=settings
    )
    assert (done.returncode, done.stdout) == (5, b"out\n")
    assert told in done.stderr
    assert done.stderr.count(b"\n") == (1 if told else 0)
