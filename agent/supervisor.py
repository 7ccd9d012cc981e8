"""The process that sees one command of an agent through, also if the agent is killed.

It is started with a run's folder, descriptors of its lock and its two pipes, and the job on
standard input: secrets stand in no argument, environment or file of ours. It keeps the output and
writes down how the command ended; to report that is the agent's work, or the next agent's.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from agent.kept_output import STREAMS, KeptWriter, masker_for
from agent.kindred import adopt_orphans
from agent.process import AGENT_SHUTDOWN, CUT_OFF, Command
from agent.run import Run, ending_document
from agent.run_folder import BEGUN, ENDING, RunFolder, is_full

# When nobody renews the lease, this part of it is left for the command to end in.
_ENDING_PART = 1 / 3
_GRACE_PART = 1 / 4
_FULL_PAUSE_SECONDS = 1.0


class CutOff:
    """Says when a command that must not outlive its lease is to be ended."""

    def __init__(
        self, lease_seconds: float, renewed_at: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lease_seconds = lease_seconds
        self._renewed_at = renewed_at
        self._clock = clock
        self.grace_seconds = lease_seconds * _GRACE_PART

    def renewed(self, sent_at: float) -> None:
        """Take it that the server has answered a renewal that was sent at this time."""
        self._renewed_at = max(self._renewed_at, sent_at)

    def seconds_left(self) -> float:
        """Return the seconds until the command must begin to end."""
        deadline = self._renewed_at + self._lease_seconds * (1 - _ENDING_PART)
        return deadline - self._clock()


def listen(control: int, run: Run, cut_off: CutOff | None) -> None:
    """Carry out what an agent writes, a JSON document a line; end the command when cut off."""
    poller = select.poll()
    poller.register(control, select.POLLIN)
    rest = b""
    while True:
        left = None if cut_off is None else max(0.0, cut_off.seconds_left())
        if poller.poll(None if left is None else left * 1000 + 1):
            *lines, rest = (rest + os.read(control, select.PIPE_BUF)).split(b"\n")
            for line in lines:
                _obey(json.loads(line), run, cut_off)
        elif cut_off is not None and cut_off.seconds_left() <= 0:
            run.end(CUT_OFF, cut_off.grace_seconds)
            cut_off = None


def _obey(word: Mapping[str, Any], run: Run, cut_off: CutOff | None) -> None:
    if "kill" in word:
        run.kill(word["kill"])
    elif "end" in word:
        run.end(word["end"])
    elif cut_off is not None:
        cut_off.renewed(word["renewed"])


def _news_teller(news: int) -> Callable[[], None]:
    def tell() -> None:
        # It may be full of news that nobody has read yet.
        with contextlib.suppress(BlockingIOError):
            os.write(news, b".")

    return tell


def write_ending(folder: RunFolder, document: Mapping[str, Any]) -> None:
    """Write down how the command ended; raises OSError if the disk is broken, not if it is full."""
    while True:
        try:
            _sync_output(folder)
            folder.write(ENDING, document)
        except OSError as error:
            if not is_full(error):
                raise
            time.sleep(_FULL_PAUSE_SECONDS)  # nobody else knows how it ended: wait for room
        else:
            return


def _sync_output(folder: RunFolder) -> None:
    try:
        folder.sync()
    except OSError as error:
        if is_full(error):
            raise
        # A crash of the machine may cost some output; the end that we know is to be kept anyway.
        sys.stderr.write(f"some output may not outlive a crash: {error}\n")


def main(arguments: list[str]) -> int:
    """Run the job that stands on standard input: FOLDER NEWS CONTROL."""
    folder = RunFolder(Path(arguments[0]))
    news, control = int(arguments[1]), int(arguments[2])
    job = json.loads(sys.stdin.buffer.read())
    outputs = tuple(
        KeptWriter(
            folder.path,
            name,
            masker=masker_for(job["secrets"], job["patterns"]),
            on_news=_news_teller(news),
        )
        for name in STREAMS
    )
    command = Command(
        job["command"], job["environment"], job.get("working_dir"), user=job.get("user")
    )
    adopting = adopt_orphans()
    run = Run(
        command,
        (outputs[0], outputs[1]),
        timeout_seconds=job["timeout_seconds"],
        grace_seconds=job["grace_seconds"],
        adopting=adopting,
    )
    cut_off = None
    if job["stop_when_cut_off"]:
        cut_off = CutOff(job["lease_seconds"], job["renewed_at"])

    def told_to_stop(_number: int, _frame: FrameType | None) -> None:
        run.end(AGENT_SHUTDOWN)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told_to_stop)
    threading.Thread(target=listen, args=(control, run, cut_off), daemon=True).start()
    folder.write(BEGUN, {"pid": os.getpid()})
    # At this point whoever comes after us knows that the command may have run.
    ending = run.carry_out()
    write_ending(folder, ending_document(ending, (outputs[0], outputs[1])))
    # At this point the end is durable, and our lock goes with us.
    return 0
