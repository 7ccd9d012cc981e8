"""Delivers what waits in a spool, in the order in which it happened.

An `exec` does that while its own command runs, and the agent all the time; one of them at a time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from agent.backoff import Backoff
from agent.client import Client, Problem, Unreachable
from agent.delivery import (
    RECORDED,
    REFUSED,
    UNFINISHED,
    Delivery,
    Outputs,
    Over,
    Verdict,
    settle,
    verdict_on,
)
from agent.lease import Lease, create, timestamp
from agent.recovery import unseen_ending
from agent.run_folder import ENDING, LEASE, RUN, RunFolder
from agent.spool import Spool

CREATE_SECONDS = 10.0
WATCH_SECONDS = 5.0


class Backlog:
    """Delivers until the spool is empty, the server is away, or it is stopped."""

    def __init__(self, spool: Spool, client: Client, log: Callable[[str], None]) -> None:
        self._spool = spool
        self._client = client
        self._log = log
        self._stopped = threading.Event()
        self._delivery: Delivery | None = None

    def stop(self) -> None:
        """End soon; what is not delivered stays."""
        self._stopped.set()
        self._client.abort()
        if self._delivery is not None:
            self._delivery.give_up()

    def watch(self, seconds: float = WATCH_SECONDS) -> None:
        """Deliver what comes, until stopped."""
        backoff = Backoff(longest=60.0)
        while not self._stopped.is_set():
            try:
                is_empty = self.carry_out()
            except OSError as error:
                self._log(f"the spool {self._spool.path} cannot be used: {error}")
                is_empty = False
            if is_empty:
                backoff.reset()
                self._stopped.wait(seconds)
            else:
                self._stopped.wait(seconds + backoff.next_delay())

    def carry_out(self) -> bool:
        """Deliver what waits now; False if some of it has to wait longer."""
        held = self._spool.lock()
        if held is None:
            return True
        try:
            for folder in self._spool.waiting():
                if self._stopped.is_set():
                    return False
                try:
                    verdict = self._deliver(folder)
                except (LookupError, TypeError, ValueError):
                    verdict = Verdict(REFUSED, "its documents are not ones that can be read")
                if verdict.kind == UNFINISHED:
                    return False
                settle(folder, verdict)
                how = "recorded" if verdict.kind == RECORDED else f"refused: {verdict.sentence}"
                self._log(f"{folder.execution_id}: a run of exec, {how}")
            return True
        finally:
            os.close(held)

    def _deliver(self, folder: RunFolder) -> Verdict:
        run = folder.read(RUN)
        if run is None:
            return Verdict(RECORDED, "there is nothing to record: it did not begin")
        known = folder.read(LEASE)
        try:
            if known is None:
                body = dict(run["create"])
                body["claim"] = {**body["claim"], "started_at": timestamp(run["started_at"])}
                lease = create(self._client, body, CREATE_SECONDS)
                known = {"lease": lease.document(), "told_late": True}
                folder.write(LEASE, known)
        except Unreachable as error:
            return Verdict(UNFINISHED, str(error))
        except Problem as problem:
            return verdict_on(problem)
        ending = folder.read(ENDING) or unseen_ending(folder, "exec was killed")
        delivery = Delivery(
            Lease(**known["lease"]),
            self._client,
            Outputs(folder.path),
            watch=Over(),
            ending=lambda: ending,
            on_cancel=_nothing,
            on_lease_lost=_nothing,
            log=self._log,
            resumed=True,
            told_late=known["told_late"],
        )
        self._delivery = delivery
        if self._stopped.is_set():  # `stop` may have come before there was a delivery
            delivery.give_up()
        return delivery.carry_out()


def _nothing() -> None:
    pass
