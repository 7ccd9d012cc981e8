"""Records one leased run with the server: its output, its heartbeats, its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from agent.backoff import Backoff
from agent.client import Client, Problem, Unreachable
from agent.heartbeat import Heartbeat
from agent.lease import Lease, report_of
from agent.process import Ending
from agent.run import Outputs
from agent.upload import Uploader

_RESENDS_MAX = 5


class Recording:
    """From `start` to `finish`, the server hears of this run as soon as it can be reached.

    `on_cancel` and `on_lease_lost` are called from threads of the recording, perhaps repeatedly.
    """

    def __init__(
        self,
        lease: Lease,
        client: Client,
        outputs: Outputs,
        *,
        on_cancel: Callable[[], None],
        on_lease_lost: Callable[[], None],
        log: Callable[[str], None],
    ) -> None:
        self._lease = lease
        self._client = client
        self._outputs = outputs
        self._log = log
        self._given_up = threading.Event()
        self._heartbeat = Heartbeat(
            lease, client.sibling(), on_cancel=on_cancel, on_lease_lost=on_lease_lost, log=log
        )
        self._uploader = Uploader(
            lease,
            client,
            outputs,
            self._given_up,
            on_cancel=on_cancel,
            on_lease_lost=on_lease_lost,
            log=log,
        )

    def start(self) -> None:
        """Begin to send output and heartbeats."""
        self._uploader.start()
        self._heartbeat.start()

    def finish(self, ending: Ending) -> str | None:
        """Send what is missing and the outcome, for as long as it takes.

        Returns:
            None when the server has recorded it, else the sentence why it never will (or why we
            gave up).
        """
        try:
            self._uploader.join()
            return self._complete(report_of(ending, self._outputs))
        finally:
            self._heartbeat.stop()

    def give_up(self) -> None:
        """End all attempts to reach the server: `finish` returns soon."""
        self._given_up.set()
        self._client.abort()
        self._uploader.wake()

    def _complete(self, report: Mapping[str, Any]) -> str | None:
        backoff = Backoff()
        resends = 0
        while True:
            try:
                self._lease.complete(self._client, report)
            except Unreachable as error:
                sentence, delay = str(error), backoff.next_delay()
            except Problem as problem:
                sentence, delay = str(problem), backoff.next_delay(problem.retry_after)
                if problem.expected_offset is not None and resends < _RESENDS_MAX:
                    resends += 1
                    self._uploader.send_missing()
                    continue
                if not problem.passing:
                    return sentence
            else:
                return None
            if self._given_up.is_set():
                return sentence
            self._log(f"{self._lease.execution_id}: not recorded yet: {sentence}")
            self._given_up.wait(delay)
