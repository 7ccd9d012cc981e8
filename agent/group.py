"""A command's process group: signaling it, and seeing whether anybody of it still lives."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")
_DEAD_STATES = frozenset({"Z", "X", "x"})


def signal_group(group: int, number: int) -> bool:
    """Send a signal to every process of the group; False if there is none."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # someone is left, who has become another user
    return True


def lives(group: int) -> bool:
    """True if a process of the group still runs; the dead that nobody has reaped do not count.

    They are common: in a container process 1 often reaps late or never, and each cancel would wait
    for the whole grace.
    """
    if not signal_group(group, 0):
        return False
    try:
        entries = [name for name in os.listdir(_PROC) if name.isdecimal()]  # noqa: PTH208 - names
    except OSError:
        return True  # no /proc here: the kernel's answer above is all there is
    return any(_is_living_member(_PROC / name / "stat", group) for name in entries)


def _is_living_member(stat: Path, group: int) -> bool:
    try:
        text = stat.read_text(errors="replace")
    except OSError:
        return False  # it has ended meanwhile
    # The name in parentheses may hold anything, parentheses too: what we want stands behind it.
    state, _parent, its_group = text.rpartition(")")[2].split()[:3]
    return int(its_group) == group and state not in _DEAD_STATES
