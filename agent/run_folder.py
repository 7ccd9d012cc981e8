"""The folder of one run: what outlives the process that runs or reports it.

    run.json       what runs, and what it is recorded under; durable before anything depends on it
    lease.json     the lease, where it was got only after the start (`exec`)
    begun.json     a supervisor has taken over; without it the command never ran
    ending.json    how it ended, with length and digest of both streams
    stdout.0       the head of a stream, stdout.N a part of its tail from byte N on (kept_output.py)
    running        locked by the process that sees the command through, for as long as it lives
    delivering     locked by the process that reports the run to the server
    control, news  pipes to and from that first process, if it is a supervisor

Only its owner can enter it: it holds output and a lease.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RUN = "run.json"
LEASE = "lease.json"
BEGUN = "begun.json"
ENDING = "ending.json"
RUNNING = "running"
DELIVERING = "delivering"
REFUSED = "refused"
_REASON = "reason.json"
_NEW = ".new"
_ABANDONED_SECONDS = 3600.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class RunFolder:
    """One run's folder; its name is the id of the execution."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.execution_id = path.name

    @classmethod
    def make(
        cls, parent: Path, execution_id: str, *locks: str
    ) -> tuple[RunFolder, tuple[int, ...]]:
        """Make the folder of a new run; return it with descriptors that hold these locks.

        Nobody sees it before it is locked. Raises OSError.
        """
        make_private(parent)
        hidden = parent / f".{execution_id}"
        hidden.mkdir(mode=0o700)
        path = parent / execution_id
        held: list[int] = []
        with contextlib.ExitStack() as undone:
            undone.callback(_remove_if_possible, hidden)
            for name in locks:
                held.append(_lock_new(hidden / name))
                undone.callback(os.close, held[-1])
            hidden.rename(path)
            undone.pop_all()
        return cls(path), tuple(held)

    def write(self, name: str, document: Mapping[str, Any], *, durable: bool = True) -> None:
        """Write a document in one step: it is there as a whole, or not at all."""
        new = self.path / f"{name}{_NEW}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        descriptor = os.open(new, flags, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        new.replace(self.path / name)
        if durable:
            _sync(self.path)
        # At this point the document outlives a crash of the machine, if that was asked for.

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a document; None if it is not there, or is none."""
        try:
            document = json.loads((self.path / name).read_bytes())
        except (OSError, ValueError):
            return None
        return document if isinstance(document, dict) else None

    def sync(self) -> None:
        """Make its output and documents durable, and that they are there."""
        for entry in self.path.iterdir():
            if entry.suffix in {"", _NEW}:
                continue  # locks, pipes, and what is only just being written
            with contextlib.suppress(FileNotFoundError):  # the oldest output goes at any time
                _sync(entry)
        _sync(self.path)
        _sync(self.path.parent)

    def lock(self, name: str) -> int | None:
        """Take one of its locks and return the descriptor that holds it; None if another has it.

        Raises FileNotFoundError if the folder has gone.
        """
        return lock_file(self.path / name)

    def is_running(self) -> bool:
        """True if the process that sees the command through still lives."""
        try:
            # A lock that is not there is not made: the folder may be about to be removed.
            held = lock_file(self.path / RUNNING, create=False)
        except OSError:
            return False
        if held is None:
            return True
        os.close(held)
        return False

    def remove(self) -> None:
        """Remove it, the documents last: what a crash leaves of it is found again."""
        for entry in sorted(self.path.iterdir(), key=lambda entry: entry.suffix == ".json"):
            entry.unlink()
        self.path.rmdir()

    def set_aside(self, reason: str) -> None:
        """Keep it for people, with the reason why the server will never take it."""
        self.write(_REASON, {"reason": reason}, durable=False)
        refused = self.path.parent.parent / REFUSED
        make_private(refused)
        self.path.rename(refused / self.path.name)
        _sync(refused)


def make_private(path: Path) -> None:
    """Make a folder, and those above it that are missing, which only we can enter."""
    if not path.is_dir():
        make_private(path.parent)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            _sync(path.parent)


def lock_file(path: Path, *, create: bool = True) -> int | None:
    """Lock a file and return the descriptor that holds the lock; None if another has it.

    Raises OSError, also if the file is not there and `create` is false.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def remove_abandoned(parent: Path) -> None:
    """Remove what is left of runs whose maker was killed before anybody could see them."""
    for hidden in parent.glob(".exec_*"):
        with contextlib.suppress(OSError):
            if time.time() - hidden.lstat().st_mtime > _ABANDONED_SECONDS:
                RunFolder(hidden).remove()


def folders_in(parent: Path) -> list[RunFolder]:
    """Return the runs of a folder, oldest first: an id begins with its time."""
    try:
        names = sorted(os.listdir(parent))  # noqa: PTH208 - names are wanted
    except FileNotFoundError:
        return []
    return [RunFolder(parent / name) for name in names if not name.startswith(".")]


def is_full(error: OSError) -> bool:
    """True if it was room on the disk that was missing, which may come back."""
    return error.errno in _FULL


def _lock_new(path: Path) -> int:
    held = lock_file(path)
    if held is None:
        raise BlockingIOError(errno.EAGAIN, "somebody else holds the lock", str(path))
    return held


def _remove_if_possible(path: Path) -> None:
    with contextlib.suppress(OSError):
        RunFolder(path).remove()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
