"""Finds what an earlier agent has left: commands that still run, and outcomes nobody has heard."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, NamedTuple

from agent.kindred import Kindred
from agent.lease import Lease
from agent.process import EXITED, KILL_GRACE_SECONDS
from agent.run_folder import BEGUN, DELIVERING, ENDING, RUN, RunFolder, folders_in, remove_abandoned
from agent.supervised import Supervised

MARK = "CRONLEDGER_EXECUTION_ID"
# What the server takes for an outcome without an exit code: whoever saw the command through has
# gone before it.
UNSEEN = "agent_lost"
_NEVER_BEGAN = "spawn_failed"
NEVER_STARTED = "the command was never started: its agent or its supervisor had gone before"
_POLL_SECONDS = 0.05
_KILL_CONFIRM_SECONDS = 10.0


class Found(NamedTuple):
    """One run that another agent has left, whose delivery is now ours."""

    folder: RunFolder
    delivering: int
    run: Mapping[str, Any]
    lease: Lease
    supervised: Supervised | None


def find_runs(
    runs: PathLike[str] | str, log: Callable[[str], None] = lambda _line: None
) -> list[Found]:
    """Return the runs that nobody delivers, oldest first; what never came to run is removed."""
    remove_abandoned(runs)
    found = []
    for folder in folders_in(runs):
        try:
            one = _find(folder)
        except OSError as error:  # one bad folder must not keep an agent from its work
            log(f"{folder.execution_id}: cannot be taken up: {error}")
            continue
        if one is not None:
            found.append(one)
    return found


def _find(folder: RunFolder) -> Found | None:
    try:
        delivering = folder.lock(DELIVERING)
    except (FileNotFoundError, NotADirectoryError):
        return None  # no folder of a run, or gone meanwhile
    if delivering is None:
        return None  # another agent of this name is at it
    with contextlib.ExitStack() as held:
        held.callback(os.close, delivering)
        run = folder.read(RUN)
        if run is None:
            # The agent died before it had written down what to run, so before it ran anything.
            folder.remove()
            return None
        try:
            lease = Lease(**run["lease"])
        except (LookupError, TypeError):
            folder.set_aside(f"{RUN} is not one that this agent can read")
            return None
        supervised = Supervised.find(folder)
        held.pop_all()
    return Found(folder, delivering, run, lease, supervised)


def ending_of(folder: RunFolder, grace_seconds: float = KILL_GRACE_SECONDS) -> dict[str, Any]:
    """Return how an agent's run has ended, now that its supervisor has gone.

    If that was killed, or the machine with it, nobody saw the end: what is left of the command is
    ended, and that is what is told, each time in the same words.
    """
    ending = folder.read(ENDING)
    if ending is None and folder.read(BEGUN) is None:
        ending = _made_up(folder, NEVER_STARTED, _NEVER_BEGAN)
    elif ending is None:
        end_stray(folder.execution_id, grace_seconds)
        ending = unseen_ending(folder, "its supervisor was killed")
    return ending


def unseen_ending(folder: RunFolder, why: str) -> dict[str, Any]:
    """Write down, once and for all, that nobody saw how a run ended."""
    return _made_up(
        folder,
        f"nobody saw how the command ended: {why} (the duration is that to the last sign of it)",
    )


def _made_up(folder: RunFolder, sentence: str, reason: str = UNSEEN) -> dict[str, Any]:
    run = folder.read(RUN) or {}
    last_seen = _last_written(folder)
    ending = {
        "outcome": EXITED,
        "exit_code": None,
        "signal": None,
        "failure_reason": reason,
        "error": sentence,
        "duration_ms": max(0, round((last_seen - run.get("started_at", last_seen)) * 1000)),
        "ended_at": last_seen,
        "streams": {},
    }
    with contextlib.suppress(OSError):
        folder.write(ENDING, ending)
    return ending


def _last_written(folder: RunFolder) -> float:
    """Return when something was last heard of a run, at least its beginning.

    What its delivery has written says nothing about that.
    """
    written = [
        path.stat().st_mtime
        for path in folder.path.iterdir()
        if path.name in {RUN, BEGUN} or path.suffix[1:].isdecimal()
    ]
    return max(written, default=time.time())


def end_stray(execution_id: str, grace_seconds: float) -> None:
    """End what is left of a command whose supervisor has gone, known by the id it was given."""
    kindred = Kindred(0, mark=f"{MARK}={execution_id}".encode())
    deadline = time.monotonic() + grace_seconds
    living = kindred.living()
    kindred.signal(living, signal.SIGTERM)
    kindred.signal(living, signal.SIGCONT)
    while living and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        living = kindred.living()
    deadline = time.monotonic() + _KILL_CONFIRM_SECONDS
    while living and time.monotonic() < deadline:
        kindred.kill()
        time.sleep(_POLL_SECONDS)
        living = kindred.living()
