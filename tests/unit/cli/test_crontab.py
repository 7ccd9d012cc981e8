"""Rules of `cronledger crontab`: it shows first, and writes only when told to."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from cli.main import main

CRONTAB = "# mine\nMAILTO=me\n0 3 * * * /bin/echo a%b\n@reboot x"
WRAPPED = (
    "# mine\nMAILTO=me\n"
    "0 3 * * * cl exec --job echo --expect '0 3 * * *' -- /bin/sh -c '/bin/echo a'%b\n"
    "@reboot cl exec --job x -- /bin/sh -c 'x'"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "jobs"
    path.write_text(CRONTAB)
    path.chmod(0o640)
    return path


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own crontab, behind a `crontab` program."""
    kept = tmp_path / "own"
    kept.write_text(CRONTAB)
    program = tmp_path / "bin" / "crontab"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\n[ $1 = - ] && exec cat > {kept}\n"
        f"[ -e {kept} ] || {{ echo no crontab for you >&2; exit 1; }}\nexec cat {kept}\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return kept


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def said(*words: str, code: int = 0) -> None:
    assert main(["crontab", *words, "--program", "cl"]) == code


def test_changes_are_shown_as_a_patch_and_nothing_is_written(
    file: Path, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    """`patch` makes of the crontab what was shown."""
    said(str(file))
    shown = capfdbinary.readouterr().out
    assert file.read_text() == CRONTAB
    assert listed(tmp_path) == ["jobs"]
    subprocess.run(["patch", "-s", str(file)], input=shown, check=True)
    assert file.read_text() == WRAPPED


def test_a_file_is_replaced_and_kept(file: Path, tmp_path: Path) -> None:
    """Mode and owner stay, a link stays one, and the former text stands beside it."""
    link = tmp_path / "link"
    link.symlink_to(file)
    said(str(link), "--write")
    assert (file.read_text(), link.is_symlink()) == (WRAPPED, True)
    backup = tmp_path / "jobs.cronledger-backup~"
    assert backup.read_text() == CRONTAB
    assert {stat.S_IMODE(path.stat().st_mode) for path in (file, backup)} == {0o640}
    assert listed(tmp_path) == ["jobs", "jobs.cronledger-backup~", "link"]
    said(str(file), "--write")
    assert backup.read_text() == CRONTAB  # nothing was changed, so nothing was written


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(file: Path, tmp_path: Path) -> None:
    """Someone's crontab stays theirs when root changes it."""
    os.chown(file, 12, 34)
    said(str(file), "--write")
    for path in (file, tmp_path / "jobs.cronledger-backup~"):
        assert (path.stat().st_uid, path.stat().st_gid) == (12, 34)


def test_ones_own_crontab_is_read_and_replaced(own: Path) -> None:
    """Through the system's `crontab`, and only with --write."""
    said()
    assert own.read_text() == CRONTAB
    said("--write")
    assert own.read_text() == WRAPPED


def test_no_crontab_is_a_sentence(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `crontab` says is passed on."""
    own.unlink()
    said(code=1)
    assert "no crontab for you" in capsys.readouterr().err


def test_programs_get_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each line that runs a command, and why one is left alone."""
    file.write_text(CRONTAB + "\n* * * * x\n")
    said(str(file), "--json")
    first, second, third = json.loads(capsys.readouterr().out)
    assert first == {
        "line": 3,
        "schedule": "0 3 * * *",
        "user": None,
        "command": "/bin/echo a%b",
        "job": "echo",
        "wrapped": WRAPPED.split("\n")[2],
        "reason": None,
    }
    assert (second["schedule"], second["wrapped"]) == ("@reboot", WRAPPED.split("\n")[3])
    assert (third["wrapped"], third["reason"]) == (None, "it is not understood")


def test_lines_left_alone_are_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, so that the patch stays one."""
    file.write_text("@daily cronledger exec --job a -- b\n")
    said(str(file))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (
        "",
        "cronledger: line 1 is left alone: it is wrapped already\n",
    )


def test_odd_bytes_stay(file: Path) -> None:
    """A crontab that is no UTF-8 is written back as it was."""
    file.write_bytes(b"# \xff\r\n@daily x \xfe\n")
    said(str(file), "--write")
    assert (
        file.read_bytes()
        == b"# \xff\r\n@daily cl exec --job x --expect @daily -- /bin/sh -c 'x \xfe'\n"
    )


def test_what_cannot_be_done_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file is exit code 1; standard input cannot be replaced."""
    said(str(tmp_path / "none"), code=1)
    assert "cannot be read" in capsys.readouterr().err
    said("-", "--write", code=2)
    assert main(["crontab", "-", "--program", "/a%b"]) == 2
