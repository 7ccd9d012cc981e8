"""The service files: what systemd thinks of them, and whether they start what there is."""

import shutil
import subprocess
from pathlib import Path

import pytest

from cli.main import COMMANDS

FOLDER = Path(__file__).parents[2] / "docs" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))


def settings(unit: Path) -> list[tuple[str, str]]:
    """The settings of a unit, in order."""
    lines = [line for line in unit.read_text().splitlines() if line and line[0] not in "#["]
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_it(unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say, once the program is where the unit says."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed here")
    program = tmp_path / "cronledger"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/cronledger/.venv/bin/cronledger", str(program)))
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_it_starts_a_command_that_exists(unit: Path) -> None:
    """ExecStart is a subcommand of `cronledger`, which is restarted when it fails."""
    told = dict(settings(unit))
    program, command = told["ExecStart"].split()
    assert Path(program).name == "cronledger"
    assert command in {known.name for known in COMMANDS}
    assert command == {"cronledger-server": "serve", "cronledger-agent": "agent"}[unit.stem]
    assert told["Restart"] == "on-failure"


def test_a_server_ends_with_its_database_and_an_agent_leaves_its_commands() -> None:
    """Who is killed with whom; and an agent's jobs may do what cron's may."""
    server, agent = (
        dict(settings(FOLDER / f"cronledger-{one}.service")) for one in ("server", "agent")
    )
    assert (server["KillMode"], agent["KillMode"]) == ("mixed", "process")
    assert server["NoNewPrivileges"] == server["PrivateTmp"] == "yes"
    assert not {"NoNewPrivileges", "PrivateTmp", "ProtectHome"} & agent.keys()
