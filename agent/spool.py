"""Runs of `exec` that the server has not heard of yet, or not to their end: kept, and bounded.

They are delivered by one deliverer at a time (see backlog.py). What the server refuses is set aside
with its reason.
"""

from __future__ import annotations

import os
import stat

from agent.bare import suppress
from agent.run_folder import (
    DELIVERING,
    REFUSED,
    RunFolder,
    folders_in,
    lock_file,
    remove_abandoned,
)

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

RUNS_MAX = 10_000
BYTES_MAX = 1024 * 1024 * 1024
_RUNS = "runs"
_LOCK = "delivery"


class Spool:
    """A folder of runs that wait for their delivery."""

    def __init__(
        self, path: PathLike[str] | str, *, runs_max: int = RUNS_MAX, bytes_max: int = BYTES_MAX
    ) -> None:
        self.path = os.fspath(path)
        self.runs = f"{self.path}/{_RUNS}"
        self._runs_max = runs_max
        self._bytes_max = bytes_max

    def waiting(self) -> Iterator[RunFolder]:
        """Yield the runs that are over, oldest first."""
        for folder in folders_in(self.runs):
            if not folder.is_running() and os.path.isdir(folder.place):
                yield folder

    def lock(self) -> int | None:
        """Become the one who delivers; None if somebody else does, or if there is nothing.

        Raises PermissionError if others than us can have put something there.
        """
        if not os.path.isdir(self.runs):
            return None
        check_private(self.path)
        with suppress(OSError):
            return lock_file(f"{self.path}/{_LOCK}")
        return None

    def trim(self, *, weigh: bool = True) -> str | None:
        """Keep it within its bounds; return what had to go, if anything did.

        The oldest output goes first: that a run happened, and how it ended, weighs more. Without
        `weigh` only the runs are counted, which is cheap.
        """
        folders = folders_in(self.runs) + folders_in(f"{self.path}/{REFUSED}")
        folders.sort(key=lambda folder: folder.execution_id)
        return self._trim(folders, weigh=weigh)

    def trim_refused(self) -> str | None:
        """Keep within the same bounds what was refused, and nothing else."""
        return self._trim(folders_in(f"{self.path}/{REFUSED}"), weigh=True)

    def tidy(self) -> None:
        """Remove what is left of runs whose maker, or remover, was killed meanwhile."""
        remove_abandoned(self.runs)

    def _trim(self, folders: list[RunFolder], *, weigh: bool) -> str | None:
        gone = 0
        for folder in folders[: max(0, len(folders) - self._runs_max)]:
            gone += self._drop(folder, whole=True)
        sizes = [(folder, _bytes_in(folder)) for folder in folders] if weigh else []
        total = sum(size for _, size in sizes)
        for folder, size in sizes:
            if total <= self._bytes_max:
                break
            if size > 0:
                gone += self._drop(folder, whole=False)
                total -= size
        if gone == 0:
            return None
        return f"{self.path} is full: {gone} of its oldest runs or their output were dropped"

    def _drop(self, folder: RunFolder, *, whole: bool) -> int:
        if folder.is_running():
            return 0
        try:
            delivering = folder.lock(DELIVERING)
        except OSError:
            return 0  # gone meanwhile, or no folder of a run
        if delivering is None:
            return 0  # just on its way
        with suppress(OSError):
            if whole:
                folder.remove()
            for path in _output_of(folder):
                os.unlink(path)
        os.close(delivering)
        return 1


def check_private(path: str) -> None:
    """Raise PermissionError if somebody else could have put something there."""
    found = os.lstat(path)
    is_ours = found.st_uid == os.geteuid() and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) == 0
    if not is_ours or not stat.S_ISDIR(found.st_mode):
        raise PermissionError(f"{path} is not ours alone")


def _output_of(folder: RunFolder) -> list[str]:
    try:
        names = os.listdir(folder.place)
        return [f"{folder.place}/{name}" for name in names if name.rpartition(".")[2].isdecimal()]
    except OSError:
        return []


def _bytes_in(folder: RunFolder) -> int:
    total = 0
    for path in _output_of(folder):
        with suppress(OSError):
            total += os.stat(path).st_size
    return total
