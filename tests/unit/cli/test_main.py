"""Rules of the entry point: what it lists, what it imports, how it fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import COMMANDS, main

PATH = os.environ["PATH"]
HEAVY = ("litestar", "psycopg", "psycopg_pool", "eventsourcing", "msgspec", "uvicorn")
OURS = [command.name for command in COMMANDS if command.name not in {"serve", "token"}]


def test_help_lists_every_command_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """`cronledger --help` names each command and says what it does."""
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert caught.value.code == 0
    for command in COMMANDS:
        assert any(line.split() == [command.name, *command.help.split()] for line in lines)


@pytest.mark.parametrize("name", OURS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`cronledger NAME --help` ends well and shows its options."""
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"cronledger {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", OURS)
def test_client_commands_import_nothing_heavy(name: str) -> None:
    """Start-up stays short: no framework is imported for an agent, an exec or a client command."""
    script = (
        "import sys\nfrom cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, name, "--help"], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["list", "--nonsense"], ["list", "--limit", "abc"], ["get"]]
)
def test_a_wrong_use_is_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Argparse's usage and its code."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: cronledger" in capsys.readouterr().err


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The bare command is a wrong use that helps."""
    assert main([]) == 2
    assert "exec" in capsys.readouterr().err


def test_a_missing_command_line_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """`exec` without `--` says what to write."""
    assert main(["exec", "--job", "nightly"]) == 2
    assert "after `--`" in capsys.readouterr().err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` names the program."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("cronledger ")


def test_the_package_runs_from_anywhere(tmp_path: Path) -> None:
    """No command depends on the folder it is called in."""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "list", "--help"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        check=True,
    )
    assert b"cronledger list" in done.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_outputs_are_no_error(closed: str) -> None:
    """A caller that closes stdout or stderr, as a daemon does, gets the command's exit code."""
    line = f'"$0" -m cli.main exec --job j -- sh -c "exit 7" {closed}'
    environment = {"CRONLEDGER_URL": "http://127.0.0.1:9", "CRONLEDGER_TOKEN": "t", "PATH": PATH}
    done = subprocess.run(
        ["/bin/sh", "-c", line, sys.executable], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 7
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        *(["get", ""], ["logs", ""], ["logs", "-f", ""], ["retry", ""], ["cancel", ""]),
        *(["audit", ""], ["events", ""]),
        *(["job", "show", ""], ["job", "pause", ""], ["job", "run", ""], ["job", "delete", ""]),
        *(["get", "\udcff"], ["list", "--job-id", "\udcff"]),
        *(["job", "explain", "\udcff"], ["stats", "--from", "\udcff"]),
    ],
    ids=" ".join,
)
def test_an_id_that_is_none_is_a_usage_error(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unset variable of the shell, or bytes that are no text: exit code 2, nothing is asked."""
    monkeypatch.setenv("CRONLEDGER_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("CRONLEDGER_TOKEN", "t")
    assert main(words) == 2
    assert "empty" in (said := capsys.readouterr().err) or "UTF-8" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_output_that_takes_nothing_is_said_in_a_sentence() -> None:
    """A full disk behind `>`: exit code 1 and what the system says, no stack trace."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", "crontab", "--json", "/dev/null"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"cronledger: No space left on device\n")
