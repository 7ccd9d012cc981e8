"""Runs an agent as a service: until a signal, or the end of its parent, stops it."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from types import FrameType

from agent.assignment import Settings
from agent.backlog import Backlog
from agent.client import Client
from agent.loop import Agent
from agent.spool import Spool

NOT_AUTHORISED_EXIT = 4
_FORCED_EXIT_SECONDS = 5.0
_SIGNALED = b"s"
_IDLE = b"i"


def serve(
    settings: Settings,
    client: Client,
    *,
    spool: tuple[Spool, Client] | None = None,
    exit_with_parent: bool = False,
) -> int:
    """Run an agent until it is stopped; return the exit code of the process.

    Args:
        settings: How the agent works.
        client: The server and the token.
        spool: Where runs of `exec` wait that it delivers too, and who may do that.
        exit_with_parent: Also stop when standard input ends, which is when its writer is gone.
    """
    # A handler only writes into a pipe: what it would have to lock, the thread under it may hold.
    news, teller = os.pipe()
    os.set_blocking(teller, False)

    def told_to_stop(_number: int, _frame: FrameType | None) -> None:
        os.write(teller, _SIGNALED)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told_to_stop)
    # The kernel may give a signal to any thread, and the handler runs in this one, which sleeps: a
    # byte in the pipe wakes it (the signal's number, which means nothing else to us).
    signal.set_wakeup_fd(teller, warn_on_full_buffer=False)
    agent = Agent(
        settings,
        client,
        log=log_line,
        on_idle_for_good=lambda: os.write(teller, _IDLE),
    )
    log_line(
        f"agent {settings.agent_id} takes executions from {client.url}, "
        f"{settings.concurrency} at a time"
    )
    agent.start()
    backlog = None if spool is None else Backlog(*spool, log_line)
    if backlog is not None:
        threading.Thread(target=backlog.watch, name="spool", daemon=True).start()
    _until_idle(agent, _News(news, sys.stdin.fileno() if exit_with_parent else None))
    if backlog is not None:
        backlog.stop()
    log_line("stopped")
    return 0 if agent.refusal is None else NOT_AUTHORISED_EXIT


def log_line(text: str) -> None:
    """Write one line with the UTC time to standard error."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sys.stderr.write(f"{moment} {text}\n")
    sys.stderr.flush()


class _News:
    """What the main thread waits for: signals, the parent's end, the agent's end."""

    def __init__(self, news: int, parent: int | None) -> None:
        self._news = news
        self._parent = parent
        self._poller = select.poll()
        self._poller.register(news, select.POLLIN)
        if parent is not None:
            self._poller.register(parent, select.POLLIN)
        self.stops = 0
        self.idle = False

    def wait(self, seconds: float | None) -> bool:
        """Wait for news; False if there was none in time."""
        ready = dict(self._poller.poll(None if seconds is None else seconds * 1000))
        if self._news in ready:
            heard = os.read(self._news, 64)
            self.idle = self.idle or _IDLE in heard
            self.stops += heard.count(_SIGNALED)
        if self._parent in ready and not os.read(self._parent, 4096):
            self._poller.unregister(self._parent)
            # No second request after a signal: Ctrl-C reaches parent and agent alike.
            self.stops = max(self.stops, 1)
        return bool(ready)


def _until_idle(agent: Agent, news: _News) -> None:
    stops_done = 0
    patience: float | None = None
    while not news.idle:
        if not news.wait(patience):
            return  # told twice to stop, and something still hangs
        if news.stops > 1:
            if stops_done < news.stops:
                log_line("stopping at once")
                agent.hurry()
            patience = _FORCED_EXIT_SECONDS
        elif news.stops > stops_done:
            log_line(f"stopping: what runs {_fate(agent)}; a second signal ends it at once")
            agent.stop()
        stops_done = news.stops


def _fate(agent: Agent) -> str:
    seconds = agent.settings.drain_seconds
    if seconds <= 0:
        return "is ended and reported"
    return f"may finish within {seconds:g} s, is then ended, and is reported"
