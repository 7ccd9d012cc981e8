"""Process trees that try to get away: daemons, own sessions, ignored signals, hopping forks."""

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Final

from tests.support.calls import eventually

# Every process holds the writing end of a pipe until it has grown its children: when the root reads
# the end of it, the tree stands.
_PROGRAM: Final = """
import os, random, signal, sys, time
mark, seed, depth, hops = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
reading, writing = os.pipe()

def hop():
    while True:
        if os.fork():
            os._exit(0)

def grow(chance, depth):
    for number in range(chance.randrange(1, 3)):
        kind = chance.choice(["child", "session", "daemon", "stubborn", "stopped"])
        if os.fork():
            continue
        if kind != "child":
            os.setsid()
        if kind in ("daemon", "stubborn") and os.fork():
            os._exit(0)
        if kind == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if depth:
            grow(random.Random(chance.random() + number), depth - 1)
        os.close(writing)
        if kind == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        while True:
            signal.pause()

grow(random.Random(seed), depth)
hopper = 0
if hops == "hops":
    hopper = os.fork()
    if not hopper:
        os.setsid()
        os.close(writing)
        hop()
os.close(writing)
os.read(reading, 1)
print("grown", hopper, flush=True)
while True:
    signal.pause()
"""


def escaping_tree(mark: str, seed: int, *, depth: int = 2, hops: bool = False) -> list[str]:
    """A command that grows a tree, prints `grown GROUP`, and never ends by itself.

    The group is that of a process that forks and exits all the time, 0 if there is none.
    """
    words = [mark, str(seed), str(depth), "hops" if hops else ""]
    return [sys.executable, "-c", _PROGRAM, *words]


def survivors(mark: str) -> dict[int, int]:
    """Who of the processes with this mark in its arguments still lives, and in which group."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes()
            fields = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if mark.encode() in words and fields[0] not in {"Z", "X"}:
            found[int(path.name)] = int(fields[2])
    return found


def until_none_is_left(mark: str, said: str) -> None:
    """Fail if anything of a tree, which has said this, lives on; what is just killed has a moment.

    One look at all processes may miss who forks and exits all the time; its group is always there.
    """
    group = int(said.split()[1]) if said else 0  # it was ended before it had grown
    try:
        eventually(
            lambda: not survivors(mark) and not _is_there(group), f"the end of all marked {mark}", 5
        )
    finally:
        for left in {*survivors(mark).values(), group} - {0}:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(left, signal.SIGKILL)  # what got away must not outlive its test


def _is_there(group: int) -> bool:
    """Whether a group has a living member, or had one between two looks: that leaves new dead."""
    if group == 0:
        return False
    before, after = _members(group), _members(group)
    return bool(after.keys() - before.keys()) or not {"Z", "X"}.issuperset(
        [*before.values(), *after.values()]
    )


def _members(group: int) -> dict[int, str]:
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                found[int(path.name)] = fields[0]
    return found
