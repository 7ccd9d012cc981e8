"""The processes that belong to a command: its group, and all that descend from it.

Whoever sees a command through becomes a subreaper, where there are any (Linux): a process whose
parent dies gets us as its parent, so that even one that has left group and session is found below
us. Elsewhere only the group is known.
"""

from __future__ import annotations

import os
import sys

from agent.bare import signal
from agent.record import Record

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PROC = "/proc"
_TASKS = "/proc/self/task"
_DEAD_STATES = frozenset({b"Z", b"X", b"x"})
_SET_CHILD_SUBREAPER = 36
_STARTED_FIELD = 19  # counted from the state, which is the first behind the name
_DIRECT_PASSES = 100
_QUIET_PASSES = 30


class Process(Record):
    """One process, as the kernel shows it."""

    pid: int
    parent: int
    group: int
    started: int
    is_dead: bool


def adopt_orphans() -> bool:
    """Become the parent of every descendant that loses its own; False if that is not offered."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        # Without `ctypes` around it, which takes longer to import than all of this module.
        import _ctypes  # noqa: PLC0415 - only for this

        own = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # typeshed knows no NULL
        prctl = _ctypes.dlsym(own, "prctl")
        return bool(_ctypes.call_function(prctl, (_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) == 0)
    except (ImportError, OSError, AttributeError):  # a small Python, or a C library without it
        return False


class Kindred:
    """What descends from one command that this process has started, or found by its mark."""

    def __init__(self, group: int, *, adopting: bool = False, mark: bytes | None = None) -> None:
        """Name a command by its process group, or by its mark.

        `adopting`: this process has adopted orphans since before the command began, so that what
        descends from the command descends from us. With a `mark`, which stands in its environment,
        the command is a stranger's child: it is what bears the mark, and what descends from that.
        """
        self._group = group
        self._adopting = adopting
        self._mark = mark
        own = _look_at(group) if group else None
        # Nobody older is meant: who was our child before there was a command, say.
        self._since = 0 if own is None else own.started

    def living(self) -> set[int]:
        """Return who still runs; the dead that nobody has reaped do not count.

        They are common: in a container process 1 often reaps late or never, and each cancel would
        wait for the whole grace.
        """
        family = self._family()
        if family is None:  # no /proc here: the kernel's word on the group is all there is
            return {-self._group} if self._group and _signal(-self._group, 0) else set()
        return {one.pid for one in family if not one.is_dead}

    def signal(self, pids: Iterable[int], number: int) -> None:
        """Send a signal to those of `living`."""
        for pid in pids:
            _signal(pid, number)

    def signal_group(self, number: int) -> None:
        """Send a signal to the command and what it has kept in its group."""
        _signal(-self._group, number)

    def kill(self) -> None:
        """Kill whoever still runs, and their groups.

        A process that forks and exits all the time is gone before it can be signaled. Its group is
        not: the kernel sees to it that a signal to a group misses nobody who is just being forked.
        """
        family = self._family()
        if family is None:
            self.signal_group(signal.SIGKILL)
            return
        _kill(family)
        for _ in range(_DIRECT_PASSES if self._adopting else 0):
            found = self._children()
            _kill(found)
            if not found:
                return

    def is_gone(self) -> bool:
        """Tell whether nobody is left; who is somebody else at each look leaves new dead."""
        if self.living():
            return False
        known: set[int] | None = None
        for _ in range(_QUIET_PASSES if self._adopting else 0):
            found = self._children()
            pids = {one.pid for one in found}
            if not all(one.is_dead for one in found) or (known is not None and pids - known):
                return False
            known = pids if known is None else known
        return True

    def _children(self) -> list[Process]:
        """Return those who have no other parent than us, the fast way."""
        return [one for one in map(_look_at, _children()) if one and self._is_root(one)]

    def _family(self) -> list[Process] | None:
        """Return the dead and the living; None if there is no way to know."""
        everybody = list(_processes())
        if not everybody:
            return None
        found = {one.pid for one in everybody if self._is_root(one)}
        while more := {one.pid for one in everybody if one.parent in found} - found:
            found |= more
        return [one for one in everybody if one.pid in found]

    def _is_root(self, process: Process) -> bool:
        if self._mark is not None:
            return _bears(process.pid, self._mark)
        if process.started < self._since:
            return False
        if self._adopting:
            return process.parent == os.getpid()
        return process.group == self._group


def _kill(processes: Iterable[Process]) -> None:
    # None of them is in our own group: a command begins a session of its own.
    for group in {one.group for one in processes} - {0, os.getpgrp()}:
        _signal(-group, signal.SIGKILL)
    for one in processes:
        if not one.is_dead:
            _signal(one.pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> bool:
    """Send a signal to a process, or to the group -pid; False if there is none."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # someone is left, who has become another user
    return True


def _processes() -> Iterator[Process]:
    try:
        names = os.listdir(_PROC)
    except OSError:
        return
    for name in names:
        if name.isdecimal() and (found := _look_at(int(name))) is not None:
            yield found


def _look_at(pid: int) -> Process | None:
    try:
        text = _read(f"{_PROC}/{pid}/stat")
    except OSError:
        return None  # it has ended meanwhile
    # The name in parentheses may hold anything, parentheses too: what we want stands behind it.
    fields = text.rpartition(b")")[2].split()
    return Process(
        pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        started=int(fields[_STARTED_FIELD]),
        is_dead=fields[0] in _DEAD_STATES,
    )


def _children() -> list[int]:
    """Return our own children, the fast way; none where the kernel does not offer it."""
    try:
        texts = [_read(f"{_TASKS}/{name}/children") for name in os.listdir(_TASKS)]
    except OSError:
        return []
    return [int(pid) for text in texts for pid in text.split()]


def _bears(pid: int, mark: bytes) -> bool:
    try:
        environment = _read(f"{_PROC}/{pid}/environ")
    except OSError:
        return False
    return mark in environment.split(b"\0")


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
