"""Where `exec` keeps its runs until the server has them."""

from __future__ import annotations

import os

from agent.run_folder import RUNNING, RunFolder, make_private
from agent.spool import check_private
from cli.home import expanded, home_folder

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from collections.abc import Iterator

SPOOL = "spool"
_OPEN_TO_ALL = "/tmp"  # noqa: S108 - what is in there is checked to be ours alone


def spool_paths() -> list[str]:
    """Return where a spool may be, the best place first."""
    state = os.environ.get("XDG_STATE_HOME") or ""
    users = expanded(state if state.startswith("/") else "~/.local/state")
    return [
        f"{home_folder()}/{SPOOL}",
        *([] if users is None else [f"{users}/cronledger/{SPOOL}"]),
        f"{_OPEN_TO_ALL}/cronledger-{os.geteuid()}/{SPOOL}",
    ]


def own_spools() -> Iterator[str]:
    """Yield the spools that are there, and that nobody but us can have put anything into."""
    for path in spool_paths():
        try:
            _check_parent(path)
            check_private(path)
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
            make_private(_parent(path))
            _check_parent(path)
            make_private(path)
            check_private(path)
            folder, _ = RunFolder.make(f"{path}/runs", execution_id, RUNNING)
        except OSError as error:
            problem = error
        else:
            return folder
    raise problem


def _parent(path: str) -> str:
    return os.path.dirname(path)  # noqa: PTH120 - pathlib takes long to import


def _check_parent(path: str) -> None:
    """Where anybody may make a folder, the one around the spool must be ours too."""
    if _parent(_parent(path)) == _OPEN_TO_ALL:
        check_private(_parent(path))
