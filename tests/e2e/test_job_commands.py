"""`cronledger job` against a real server and a real agent."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import AgentProcess, cronledger, cronledger_here
from tests.support.calls import fresh
from tests.support.server import ServerProcess


def said(quick: ServerProcess, *words: str, code: int = 0) -> str:
    """What a command of jobs prints; its exit code must be the one expected."""
    done = cronledger_here(quick, "job", *words)
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return (done.stdout if code == 0 else done.stderr).decode()


def told(quick: ServerProcess, *words: str) -> Any:
    """What a command of jobs prints with --json (before what is run)."""
    cut = words.index("--") if "--" in words else len(words)
    return json.loads(said(quick, *words[:cut], "--json", *words[cut:]))


def test_a_job_from_its_first_day_to_its_last(quick: ServerProcess, agent: AgentProcess) -> None:
    """Created, looked at, changed, run by the agent, paused, resumed and deleted by its name."""
    name = fresh("job")
    shown = said(
        quick,
        *("create", name, "--schedule", "every weekday at 9am", "--timezone", "Europe/Berlin"),
        *("--env", "COLOR=blue", "--secret", "PATH", "--tag", "db", "--retries", "2"),
        *("--on-failure", "https://hooks.example/secret", "--max-concurrent-per-tag", "db=2"),
        *("--", "sh", "-c", "echo $COLOR $SIZE"),
    )
    for fact in (
        *(name, "every weekday at 9am (0 9 * * 1-5), Europe/Berlin", "sh -c 'echo $COLOR $SIZE'"),
        *("COLOR=blue", "PATH", "https://hooks.example/…", "2 with the tag db"),
    ):
        assert fact in shown
    assert "hooks.example/secret" not in shown
    assert name in said(quick, "list", "--tag", "db")
    assert "no jobs match" in said(quick, "list", "--name", fresh("other"))
    job = told(quick, "edit", name, "--schedule", "@hourly", "--env", "SIZE=L")
    assert (job["schedule_cron"], job["version"]) == ("0 * * * *", 2)
    assert (job["environment"], job["secrets"]) == (
        {"COLOR": "blue", "SIZE": "L"},
        ["PATH"],
    )
    assert "at version 2 now" in said(quick, "edit", name, "--version", "1", "--tag", "x", code=1)
    run = told(quick, "run", name)
    ended = quick.api.until_ended(run["id"])
    assert (ended["status"], ended["output"], ended["agent_id"]) == (
        *("success", "blue L\n"),
        agent.agent_id,
    )
    assert told(quick, "pause", job["id"])["is_enabled"] is False
    assert "last status       success" in said(quick, "resume", name)
    said(quick, "edit", name, "--unset", "schedule")
    assert told(quick, "show", name)["next_run_at"] is None
    assert name in said(quick, "delete", name)
    assert "no job with this id" in said(quick, "show", name, code=1)


def test_what_makes_no_sense_is_said(quick: ServerProcess) -> None:
    """Exit code 2 for a wrong use, 1 with the server's sentence for what it refuses."""
    name = fresh("job")
    assert "say what to run" in said(quick, "create", name, code=2)
    assert "takes no command" in said(quick, "list", "--", "true", code=2)
    assert "no such variable" in said(quick, "create", name, "--secret", "NOT_SET", code=2)
    assert "without --retries" in said(quick, "create", name, "--retry-after", "5", code=2)
    assert "say what is to be different" in said(quick, "edit", name, code=2)
    refused = said(quick, "create", name, "--schedule", "every fortnight", "--", "true", code=1)
    assert "every weekday at 9am" in refused


def test_a_schedule_is_explained(quick: ServerProcess) -> None:
    """Its cron form, a sentence, ten times."""
    lines = said(quick, "explain", "every day at 2:30am", "--timezone", "Asia/Kolkata").splitlines()
    assert lines[0] == "30 2 * * *  At 02:30 every day"
    assert len(lines) == 12
    assert lines[2].endswith("T02:30:00+05:30")


@pytest.fixture
def crontab(tmp_path: Path) -> Path:
    """A crontab with something of everything."""
    mark = fresh("x")
    path = tmp_path / "crontab"
    path.write_bytes(
        f"""# nightly things
CRON_TZ=Europe/Berlin
COLOR="blue"
0 3 * * * echo $COLOR {mark}-one
@reboot {mark}-two
SHELL=/bin/bash
17 * * * * {mark}-three
*/5 * * * * wc -l; echo {mark}-four \\%%a\\%b%c%
0 0 30 2 * {mark}-five
nonsense
1 2 * * * cronledger exec --job x -- true
2 3 * * * {mark}-
""".encode().removesuffix(b"\n")
        + b"\xff\n"
    )
    return path


def test_a_crontab_is_shown_and_then_made(
    quick: ServerProcess, agent: AgentProcess, crontab: Path
) -> None:
    """Nothing is made without --yes; then each line once; what cannot be is named with why."""
    plan = told(quick, "import", str(crontab), "--any-agent", "--tag", "imported")
    by_line = {one["line"]: one for one in plan}
    assert {line: one["reason"] for line, one in by_line.items() if one["reason"]} == {
        5: "@reboot is no time that a server could know: keep this line in the crontab",
        9: "schedule: is no schedule of cron: bad day-of-month",
        10: "it is not understood",
        11: "it is recorded by `cronledger exec` already: unwrap it first",
        12: "it, or a variable above it, holds bytes that are not UTF-8: keep it in the crontab",
    }
    one, three = by_line[4]["job"], by_line[7]["job"]
    assert (one["timezone"], one["environment"]) == ("Europe/Berlin", {"COLOR": "blue"})
    assert three["command"][:2] == ["/bin/bash", "-c"]
    names = [by_line[line]["job"]["name"] for line in (4, 7, 8)]
    listed = told(quick, "list", "--tag", "imported")["data"]
    assert {job["name"] for job in listed}.isdisjoint(names)
    shown = cronledger(quick, "job", "import", str(crontab), "--any-agent", "--yes")
    assert shown.returncode == 0
    assert b"made 3 jobs" in shown.stdout
    again = cronledger(quick, "job", "import", str(crontab), "--any-agent", "--yes")
    assert b"made 0 jobs" in again.stdout
    assert again.stderr.count(b"already") == 4
    ended = quick.api.until_ended(told(quick, "run", names[2])["id"])
    mark = by_line[8]["job"]["name"]
    assert ended["output"].splitlines()[0] == "2", mark
    assert ended["agent_id"] == agent.agent_id
    for name in names:
        said(quick, "delete", name)
