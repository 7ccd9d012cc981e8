"""What `exec` ran while it could not tell the server: told later, once, and in order."""

import shlex
import subprocess
import sys
from pathlib import Path

from tests.support.agents import cronledger, first_line, running_agent
from tests.support.calls import eventually, fresh
from tests.support.embedded import REPOSITORY
from tests.support.server import ServerProcess


def spooled(home: Path) -> list[str]:
    """What waits in the spool of a home."""
    folder = home / "spool" / "runs"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def run_without_server(server: ServerProcess, home: Path, job: str, code: int) -> str:
    """Run a command with exec while there is no server; return the execution's id."""
    before = spooled(home)
    settings = {"CRONLEDGER_URL": "http://127.0.0.1:9", "CRONLEDGER_HOME": str(home)}
    words = (
        "exec",
        "--job",
        job,
        "--agent-id",
        "here",
        "--",
        "sh",
        "-c",
        f"echo {code}; exit {code}",
    )
    token = {"CRONLEDGER_TOKEN": server.admin_token}
    assert cronledger(server, *words, settings=settings | token).returncode == code
    (made,) = set(spooled(home)) - set(before)
    return made


def deliver_by_another(server: ServerProcess, home: Path, job: str) -> None:
    """Run another exec in this home, until it has delivered all that waits there."""
    before = set(spooled(home))
    go = home / "go-on"
    line = f"until [ -e {shlex.quote(str(go))} ]; do sleep 0.02; done"
    known = {"CRONLEDGER_URL": server.url, "CRONLEDGER_TOKEN": server.admin_token}
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "exec", "--job", job, "--", "sh", "-c", line],
        cwd=REPOSITORY,
        env=server.environment() | known | {"CRONLEDGER_HOME": str(home)},
    ) as running:
        eventually(lambda: not before.intersection(spooled(home)), "nothing of before waits")
        go.touch()
        assert running.wait(20) == 0


def test_what_exec_ran_without_a_server_is_told_by_the_next_exec(
    quick: ServerProcess, top: Path
) -> None:
    """In order and once, under the id that it was given when it ran."""
    job = fresh("exec")
    first, second = (run_without_server(quick, top, job, code) for code in (3, 4))
    deliver_by_another(quick, top, job)
    listed = quick.api.newest_named(job)
    assert [one["id"] for one in listed][1:] == [second, first]
    assert [one["exit_code"] for one in listed] == [0, 4, 3]
    assert [one["output"] for one in listed] == ["", "4\n", "3\n"]
    eventually(lambda: spooled(top) == [], "an empty spool")


def test_what_exec_ran_without_a_server_is_told_by_the_agent(quick: ServerProcess) -> None:
    """The agent of the same home delivers it, with what `exec` may."""
    job = fresh("exec")
    made = run_without_server(quick, quick.home, job, 5)
    with running_agent(quick):
        eventually(lambda: quick.api.get(f"/{made}").status == 200, "the record")
        found = quick.api.until_ended(made)
    assert (found["exit_code"], found["output"], found["agent_id"]) == (5, "5\n", "here")


def test_an_exec_that_was_killed_is_told_as_unseen(quick: ServerProcess, top: Path) -> None:
    """The record that it made while it ran gets an end, and no false one."""
    job, go = fresh("exec"), top / "go"
    line = f"echo up; until [ -e {shlex.quote(str(go))} ]; do sleep 0.02; done; exit 6"
    known = {"CRONLEDGER_URL": quick.url, "CRONLEDGER_TOKEN": quick.admin_token}
    settings = known | {"CRONLEDGER_HOME": str(top)}
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "exec", "--job", job, "--", "sh", "-c", line],
        cwd=REPOSITORY,
        env=quick.environment() | settings,
    ) as running:
        listed = eventually(lambda: quick.api.newest_named(job), "the record")
        first_line(quick.api, listed[0]["id"])
        running.kill()
    go.touch()
    deliver_by_another(quick, top, job)
    found = quick.api.until_ended(listed[0]["id"])
    assert (found["exit_code"], found["output"]) == (None, "up\n")
    assert "nobody saw how the command ended: exec was killed" in found["error"]
