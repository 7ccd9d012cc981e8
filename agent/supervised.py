"""A command under its supervisor, as the agent sees it: the one that started it, or a later one."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.run_folder import RunFolder

_CONTROL = "control"
_NEWS = "news"
_LOG = "supervisor.log"
# Isolated and without site-packages: it starts in half the time, and nobody's settings get in its
# way. The path is where this package was found, be it a folder or one file.
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from agent.supervisor import main; sys.exit(main(sys.argv[1:]))"
)
_ROOT = str(Path(__file__).parents[1])


class Supervised:
    """Tells when the command is over, and passes on what is asked of its supervisor.

    The supervisor holds the writing end of one pipe: the pipe's end is the supervisor's.
    """

    def __init__(
        self,
        folder: RunFolder,
        news: int,
        control: int,
        popen: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self._folder = folder
        self._news = news
        self._control = control
        self._popen = popen
        self._over = False
        self._lock = threading.Lock()  # others may still have something to tell when we let go
        self._closed = False

    @classmethod
    def start(cls, folder: RunFolder, running: int, job: Mapping[str, Any]) -> Supervised:
        """Start a supervisor for a job; it takes over the lock `running`. Raises OSError."""
        told = json.dumps(job).encode()
        for name in (_NEWS, _CONTROL):
            os.mkfifo(folder.path / name, 0o600)
        with contextlib.ExitStack() as opened, contextlib.ExitStack() as ours:
            # The supervisor gets what is locked and opened already: there is no moment in which
            # it could be held for gone, or would miss what it is told.
            news = os.open(folder.path / _NEWS, os.O_RDONLY | os.O_NONBLOCK)
            ours.callback(os.close, news)
            teller = os.open(folder.path / _NEWS, os.O_RDWR | os.O_NONBLOCK)
            opened.callback(os.close, teller)
            control = os.open(folder.path / _CONTROL, os.O_RDWR | os.O_NONBLOCK)
            ours.callback(os.close, control)
            log = os.open(folder.path / _LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            opened.callback(os.close, log)
            words = [sys.executable, "-I", "-S", "-c", _PROGRAM, _ROOT]
            popen = subprocess.Popen(  # noqa: S603 - ourselves
                [*words, str(folder.path), str(teller), str(control)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=(running, teller, control),
                env=_environment(),
                start_new_session=True,
            )
            ours.pop_all()
        supervised = cls(folder, news, control, popen)
        supervised._hand_over(told)
        return supervised

    @classmethod
    def find(cls, folder: RunFolder) -> Supervised | None:
        """Return the supervisor of a run that another agent started; None if it has gone."""
        if not folder.is_running():
            return None
        try:
            news = os.open(folder.path / _NEWS, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            control = os.open(folder.path / _CONTROL, os.O_RDWR | os.O_NONBLOCK)
        except OSError:
            os.close(news)
            return None
        found = cls(folder, news, control)
        if folder.is_running():
            return found
        # It had gone before we had opened the pipe, whose end we would then not be told.
        found.close()
        return None

    @property
    def over(self) -> bool:
        """True when the supervisor has gone."""
        return self._over

    def wait(self, seconds: float | None, *, for_news: bool) -> None:
        """Wait until it is over, for a time, or also for news of more output."""
        poller = select.poll()
        poller.register(self._news, select.POLLIN if for_news else 0)
        ready = poller.poll(None if seconds is None else seconds * 1000)
        if not ready:
            return
        if ready[0][1] & select.POLLIN:
            with contextlib.suppress(BlockingIOError):
                os.read(self._news, select.PIPE_BUF)
        if ready[0][1] & select.POLLHUP:
            self._over = True
            if self._popen is not None:
                self._popen.wait()

    def end(self, reason: str) -> None:
        """End the command with grace; the first reason counts."""
        self._tell({"end": reason})

    def kill(self, reason: str) -> None:
        """End the command at once."""
        self._tell({"kill": reason})

    def renewed(self, sent_at: float) -> None:
        """Tell that a renewal of the lease, sent at this monotonic time, was answered."""
        self._tell({"renewed": sent_at})

    def close(self) -> None:
        """Let go of it: it goes on without us."""
        with self._lock:
            self._closed = True
            os.close(self._news)
            os.close(self._control)

    def _tell(self, word: Mapping[str, Any]) -> None:
        # A full pipe is one that nobody reads: the supervisor has gone, or hangs for good.
        with self._lock, contextlib.suppress(BlockingIOError):
            if not self._closed:
                os.write(self._control, json.dumps(word).encode() + b"\n")

    def _hand_over(self, told: bytes) -> None:
        assert self._popen is not None  # noqa: S101 - see `start`
        assert self._popen.stdin is not None  # noqa: S101
        # A supervisor that has died already is noticed by the end of its pipe.
        with contextlib.suppress(BrokenPipeError), self._popen.stdin as pipe:
            pipe.write(told)


def last_words(folder: RunFolder) -> str | None:
    """Return the last line that the supervisor of a run has left in its log, if there is any."""
    try:
        lines = (folder.path / _LOG).read_text(errors="replace").split("\n")
    except OSError:
        return None
    return next((line for line in reversed(lines) if line.strip()), None)


def _environment() -> dict[str, str]:
    # A command of the same user can read the environment of its supervisor: no token of ours there.
    return {name: value for name, value in os.environ.items() if not name.startswith("CRONLEDGER_")}
