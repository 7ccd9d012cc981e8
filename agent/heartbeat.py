"""Keeps a lease alive while its command runs, and hears of a cancel the moment it is asked for."""

from __future__ import annotations

import time

from agent import threads
from agent.backoff import Backoff
from agent.client import Client, Problem, Unreachable
from agent.lease import LEASE_LOST_CODE, Lease

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from collections.abc import Callable

# A fresh lease needs no renewal, and most cron jobs are over before a second request would pay.
FIRST_AFTER_SECONDS = 0.25
_SHORTEST_PERIOD_SECONDS = 1.0
_SHORTEST_PAUSE_SECONDS = 0.01
WAIT_SECONDS_MAX = 30  # the most that a server lets a heartbeat wait for news


class Heartbeat:
    """Renews the lease by long polls on a connection of its own until it is stopped.

    `on_renewed` gets the monotonic time at which a renewal was sent that was answered.
    """

    def __init__(
        self,
        lease: Lease,
        client: Client,
        *,
        on_cancel: Callable[[], None],
        on_lease_lost: Callable[[], None],
        on_renewed: Callable[[float], None],
        log: Callable[[str], None],
    ) -> None:
        self._thread = threads.Thread(self._run)
        self._lease = lease
        self._client = client
        self._on_cancel = on_cancel
        self._on_lease_lost = on_lease_lost
        self._on_renewed = on_renewed
        self._log = log
        self._stopped = threads.Event()
        self._backoff = Backoff.within_lease(lease.seconds)
        # A server that asks for more than one a second gets them.
        period = min(_SHORTEST_PERIOD_SECONDS, lease.heartbeat_seconds)
        self._shortest_period = max(_SHORTEST_PAUSE_SECONDS, period)
        self._canceled = False
        self._away = False

    def start(self) -> None:
        """Beat, in a thread of its own, until stopped or until there is no lease any more."""
        self._thread.start()

    def stop(self) -> None:
        """End the heartbeats; one that is under way is cut, which harms nothing."""
        self._stopped.set()
        self._client.abort()

    def _run(self) -> None:
        try:
            self._beat()
        finally:
            self._client.close()

    def _beat(self) -> None:
        pause = FIRST_AFTER_SECONDS
        while not self._stopped.wait(pause):
            began = time.monotonic()
            try:
                canceled = self._lease.heartbeat(self._client, self._wait_seconds())
            except Unreachable as error:
                self._note_away(str(error))
                pause = self._backoff.next_delay()
            except Problem as problem:
                if not problem.passing:
                    self._end(problem)
                    return
                self._note_away(str(problem))
                pause = self._backoff.next_delay(problem.retry_after)
            else:
                self._backoff.reset()
                self._away = False
                self._on_renewed(began)
                pause = self._pause_after(time.monotonic() - began, canceled=canceled)

    def _wait_seconds(self) -> int:
        # Once a cancel is known the long poll would be answered at once, again and again.
        return 0 if self._canceled else int(min(self._lease.heartbeat_seconds, WAIT_SECONDS_MAX))

    def _pause_after(self, took_seconds: float, *, canceled: bool) -> float:
        if canceled:
            if not self._canceled:
                self._canceled = True
                self._on_cancel()
            return max(_SHORTEST_PAUSE_SECONDS, float(self._lease.heartbeat_seconds))
        # An early answer without news: the server is stopping, or does not poll. Not so often then.
        return 0.0 if took_seconds >= self._shortest_period else self._shortest_period

    def _note_away(self, sentence: str) -> None:
        if not self._away and not self._stopped.is_set():
            self._away = True
            self._log(f"{self._lease.execution_id}: goes on without the server: {sentence}")

    def _end(self, problem: Problem) -> None:
        if self._stopped.is_set():
            return  # the outcome is recorded, and with it the lease has rightly gone
        self._log(f"{self._lease.execution_id}: heartbeat refused: {problem}")
        if problem.code == LEASE_LOST_CODE:
            self._on_lease_lost()
