"""Rules of where `exec` keeps its runs: only where nobody else can have put anything."""

import os
from pathlib import Path

import pytest

from cli import exec_spool
from cli.exec_spool import make_folder, own_spools


@pytest.fixture
def open_to_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A place like /tmp, the only one that can be written to."""
    place = tmp_path / "tmp"
    place.mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(exec_spool, "_OPEN_TO_ALL", str(place))
    monkeypatch.setenv("CRONLEDGER_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    return place / f"cronledger-{os.geteuid()}"


def test_what_we_made_ourselves_is_read(open_to_all: Path) -> None:
    """The next exec finds what this one has left."""
    make_folder("exec_1")
    assert list(own_spools()) == [str(open_to_all / "spool")]


@pytest.mark.parametrize("how", ["open", "link"])
def test_what_another_may_have_prepared_is_neither_read_nor_written(
    open_to_all: Path, tmp_path: Path, how: str
) -> None:
    """A folder that others can write to, or a link to one, is not a spool of ours."""
    # given
    prepared = tmp_path / "prepared" if how == "link" else open_to_all
    (prepared / "spool" / "runs" / "exec_1").mkdir(parents=True)
    if how == "link":
        open_to_all.symlink_to(prepared)
    else:
        prepared.chmod(0o777)
    # when, then
    assert list(own_spools()) == []
    with pytest.raises(PermissionError, match="is not ours alone"):
        make_folder("exec_2")
