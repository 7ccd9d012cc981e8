"""Where `exec` keeps its runs until the server has them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from agent.run_folder import RUNNING, RunFolder, make_private
from cli.home import default_home

SPOOL = "spool"
_OPEN_TO_ALL = Path("/tmp")  # noqa: S108 - what is in there is checked to be ours alone


def spool_paths() -> list[Path]:
    """Return where a spool may be, the best place first."""
    state = os.environ.get("XDG_STATE_HOME") or ""
    if not Path(state).is_absolute():
        state = "~/.local/state"
    return [
        default_home() / SPOOL,
        Path(state).expanduser() / "cronledger" / SPOOL,
        _OPEN_TO_ALL / f"cronledger-{os.geteuid()}" / SPOOL,
    ]


def make_folder(execution_id: str) -> RunFolder:
    """Make the folder of a run in the first spool that takes it, locked until this process ends.

    Raises OSError if there is no place.
    """
    problem = OSError("there is no place to keep it")
    for path in spool_paths():
        try:
            make_private(path)
            _check_private(path)
            if path.parent.parent == _OPEN_TO_ALL:
                _check_private(path.parent)
            folder, _ = RunFolder.make(path / "runs", execution_id, RUNNING)
        except OSError as error:
            problem = error
        else:
            return folder
    raise problem


def _check_private(path: Path) -> None:
    """Raise PermissionError if somebody else could have put something there."""
    found = path.lstat()
    is_ours = found.st_uid == os.geteuid() and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) == 0
    if not is_ours or not stat.S_ISDIR(found.st_mode):
        raise PermissionError(f"{path} is not ours alone")
