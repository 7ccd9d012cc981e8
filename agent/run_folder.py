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

import errno
import fcntl
import os
import time

from agent.bare import suppress
from agent.json_text import dumps, loads

TYPE_CHECKING = False  # `exec` waits for no module that it can do without: paths are texts here
if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike
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

    def __init__(self, path: PathLike[str] | str) -> None:
        self.place = os.fspath(path)
        self.execution_id = self.place.rpartition("/")[2]

    @property
    def path(self) -> Path:
        """Its place as a path."""
        from pathlib import Path  # noqa: PLC0415 - see above

        return Path(self.place)

    @classmethod
    def make(
        cls, parent: PathLike[str] | str, execution_id: str, *locks: str
    ) -> tuple[RunFolder, tuple[int, ...]]:
        """Make the folder of a new run; return it with descriptors that hold these locks.

        Nobody sees it before it is locked. Raises OSError.
        """
        above = os.fspath(parent)
        make_private(above)
        hidden = f"{above}/.{execution_id}"
        os.mkdir(hidden, mode=0o700)
        place = f"{above}/{execution_id}"
        held: list[int] = []
        try:
            for name in locks:
                held.append(_lock_new(f"{hidden}/{name}"))  # noqa: PERF401 - kept if one fails
            os.rename(hidden, place)
        except BaseException:
            for descriptor in held:
                os.close(descriptor)
            _remove_if_possible(hidden)
            raise
        return cls(place), tuple(held)

    def write(self, name: str, document: Mapping[str, Any], *, durable: bool = True) -> None:
        """Write a document in one step: it is there as a whole, or not at all."""
        new = f"{self.place}/{name}{_NEW}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        descriptor = os.open(new, flags, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(dumps(document).encode())
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(new, f"{self.place}/{name}")
        if durable:
            _sync(self.place)
        # At this point the document outlives a crash of the machine, if that was asked for.

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a document; None if it is not there, or is none."""
        try:
            with open(f"{self.place}/{name}", "rb") as file:
                document = loads(file.read())
        except (OSError, ValueError):
            return None
        return document if isinstance(document, dict) else None

    def sync(self) -> None:
        """Make its output and documents durable, and that they are there."""
        for name in os.listdir(self.place):
            if "." not in name or name.endswith(_NEW):
                continue  # locks, pipes, and what is only just being written
            with suppress(FileNotFoundError):  # the oldest output goes at any time
                _sync(f"{self.place}/{name}")
        _sync(self.place)
        _sync(_parent(self.place))

    def lock(self, name: str) -> int | None:
        """Take one of its locks and return the descriptor that holds it; None if another has it.

        Raises FileNotFoundError if the folder has gone.
        """
        return lock_file(f"{self.place}/{name}")

    def is_running(self) -> bool:
        """True if the process that sees the command through still lives."""
        try:
            # A lock that is not there is not made: the folder may be about to be removed.
            held = lock_file(f"{self.place}/{RUNNING}", create=False)
        except OSError:
            return False
        if held is None:
            return True
        os.close(held)
        return False

    def remove(self) -> None:
        """Remove it, from everyone's sight first: nobody may deliver what is half gone.

        What a crash leaves of it `remove_abandoned` finds.
        """
        hidden = self.place
        if not self.execution_id.startswith("."):
            hidden = f"{_parent(self.place)}/.{self.execution_id}"
            os.rename(self.place, hidden)
        for name in os.listdir(hidden):
            os.unlink(f"{hidden}/{name}")
        os.rmdir(hidden)

    def set_aside(self, reason: str) -> None:
        """Keep it for people, with the reason why the server will never take it."""
        self.write(_REASON, {"reason": reason}, durable=False)
        refused = f"{_parent(_parent(self.place))}/{REFUSED}"
        make_private(refused)
        os.rename(self.place, f"{refused}/{self.execution_id}")
        _sync(refused)


def make_private(path: PathLike[str] | str) -> None:
    """Make a folder, and those above it that are missing, which only we can enter."""
    place = os.fspath(path)
    if not os.path.isdir(place):
        make_private(_parent(place))
        with suppress(FileExistsError):
            os.mkdir(place, mode=0o700)
            _sync(_parent(place))


def lock_file(path: PathLike[str] | str, *, create: bool = True) -> int | None:
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


def remove_abandoned(parent: PathLike[str] | str) -> None:
    """Remove what is left of runs whose maker, or remover, was killed meanwhile."""
    for name in _names_in(parent):
        if name.startswith(".exec_"):
            hidden = f"{os.fspath(parent)}/{name}"
            with suppress(OSError):
                if time.time() - os.lstat(hidden).st_mtime > _ABANDONED_SECONDS:
                    RunFolder(hidden).remove()


def folders_in(parent: PathLike[str] | str) -> list[RunFolder]:
    """Return the runs of a folder, oldest first: an id begins with its time."""
    names = [name for name in _names_in(parent) if not name.startswith(".")]
    return [RunFolder(f"{os.fspath(parent)}/{name}") for name in sorted(names)]


def _names_in(parent: PathLike[str] | str) -> list[str]:
    try:
        return os.listdir(parent)
    except FileNotFoundError:
        return []


def is_full(error: OSError) -> bool:
    """True if it was room on the disk that was missing, which may come back."""
    return error.errno in _FULL


def _lock_new(path: str) -> int:
    held = lock_file(path)
    if held is None:
        raise BlockingIOError(errno.EAGAIN, "somebody else holds the lock", path)
    return held


def _remove_if_possible(path: str) -> None:
    with suppress(OSError):
        RunFolder(path).remove()


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parent(place: str) -> str:
    return os.path.dirname(place)
