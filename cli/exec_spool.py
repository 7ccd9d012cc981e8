"""Where `exec` keeps its runs until the server has them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from agent.run_folder import RUNNING, RunFolder, make_private
from cli.home import default_home, expanded

SPOOL = "spool"
_OPEN_TO_ALL = Path("/tmp")  # noqa: S108 - what is in there is checked to be ours alone


def spool_paths() -> list[Path]:
    """Return where a spool may be, the best place first."""
    state = os.environ.get("XDG_STATE_HOME") or ""
    users = expanded(state if Path(state).is_absolute() else "~/.local/state")
    return [
        default_home() / SPOOL,
        *([] if users is None else [users / "cronledger" / SPOOL]),
        _OPEN_TO_ALL / f"cronledger-{os.geteuid()}" / SPOOL,
    ]


def own_spools() -> Iterator[Path]:
    """Yield the spools that are there, and that nobody but us can have put anything into."""
    for path in spool_paths():
        try:
            _check_parent(path)
            _check_private(path)
        except OSError:
            continue  # there is none, or not for us
        yield path


def make_folder(execution_id: str) -> RunFolder:
    """Make the folder of a run in the first spool that takes it, locked until this process ends.

    Raises OSError if there is no place.
    """
    problem = OSError("there is no place to keep it")
    for path in spool_paths():
        try:
            make_private(path.parent)
            _check_parent(path)
            make_private(path)
            _check_private(path)
            folder, _ = RunFolder.make(path / "runs", execution_id, RUNNING)
        except OSError as error:
            problem = error
        else:
            return folder
    raise problem


def _check_parent(path: Path) -> None:
    """Where anybody may make a folder, the one around the spool must be ours too."""
    if path.parent.parent == _OPEN_TO_ALL:
        _check_private(path.parent)


def _check_private(path: Path) -> None:
    """Raise PermissionError if somebody else could have put something there."""
    found = path.lstat()
    is_ours = found.st_uid == os.geteuid() and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) == 0
    if not is_ours or not stat.S_ISDIR(found.st_mode):
        raise PermissionError(f"{path} is not ours alone")
