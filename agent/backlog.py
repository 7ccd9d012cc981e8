"""Delivers what waits in a spool, in the order in which it happened.

An `exec` does that while its own command runs, and the agent all the time; one of them at a time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

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
from agent.lease import Lease, create, timestamp, without_schedule
from agent.recovery import unseen_ending
from agent.run_folder import DELIVERING, ENDING, LEASE, RUN, RunFolder
from agent.spool import Spool

CREATE_SECONDS = 10.0
WATCH_SECONDS = 5.0
FAILURES_MAX = 4  # of one run, before those behind it have their turn
_BLOCKED = "blocked"  # a verdict like UNFINISHED, but on the server or on us: no run gets through
_ABOUT_ALL = frozenset({401, 429, 503})


class Backlog:
    """Delivers until the spool is empty, the server is away, or it is stopped."""

    def __init__(self, spool: Spool, client: Client, log: Callable[[str], None]) -> None:
        self._spool = spool
        self._client = client
        self._log = log
        self._stopped = threading.Event()
        self._delivery: Delivery | None = None
        self._told: dict[str, str] = {}

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
                self._tell_obstacle(f"the spool {self._spool.path} cannot be used: {error}")
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
            self._spool.tidy()
            is_empty = True
            for folder in self._spool.waiting():
                verdict = self._deliver_one(folder)
                if self._stopped.is_set() or verdict.kind == _BLOCKED:
                    return False
                if verdict.kind == UNFINISHED:
                    is_empty = False  # it does not hold up those behind it
                    self._tell_once(folder, verdict)
            return is_empty
        finally:
            os.close(held)

    def _create(self, body: Mapping[str, Any]) -> Lease:
        try:
            return create(self._client, body, CREATE_SECONDS)
        except Problem as problem:
            less = without_schedule(body, problem)
            if less is None:
                raise
            self._log(f"when the job of {body['id']} should run is not recorded: {problem}")
            return create(self._client, less, CREATE_SECONDS)

    def _deliver_one(self, folder: RunFolder) -> Verdict:
        if self._stopped.is_set():
            return Verdict(UNFINISHED)
        try:
            try:
                delivering = folder.lock(DELIVERING)
            except FileNotFoundError:  # it was delivered and removed a moment ago
                return Verdict(RECORDED)
            if delivering is None:
                return Verdict(UNFINISHED, "another process is at it")
            try:
                verdict = self._deliver(folder)
                if verdict.kind in {RECORDED, REFUSED}:
                    settle(folder, verdict)
            finally:
                os.close(delivering)
        except OSError as error:
            return Verdict(UNFINISHED, str(error))
        if verdict.kind in {RECORDED, REFUSED}:
            how = "recorded" if verdict.kind == RECORDED else f"refused: {verdict.sentence}"
            self._log(f"{folder.execution_id}: a run of exec, {how}")
            self._told.pop(folder.execution_id, None)
        return verdict

    def _tell_obstacle(self, sentence: str) -> None:
        if self._told.get("") != sentence:
            self._told[""] = sentence
            self._log(sentence)

    def _tell_once(self, folder: RunFolder, verdict: Verdict) -> None:
        if self._told.get(folder.execution_id) != verdict.sentence:
            self._told[folder.execution_id] = verdict.sentence
            self._log(f"{folder.execution_id}: a run of exec, not recorded yet: {verdict.sentence}")

    def _deliver(self, folder: RunFolder) -> Verdict:
        try:
            return self._deliver_documents(folder)
        except (LookupError, TypeError, ValueError):
            return Verdict(REFUSED, "its documents are not ones that can be read")

    def _deliver_documents(self, folder: RunFolder) -> Verdict:
        run = folder.read(RUN)
        if run is None:
            return Verdict(RECORDED, "there is nothing to record: it did not begin")
        # Made up, if need be, before anything else is written that could pass for a sign of life.
        ending = folder.read(ENDING) or unseen_ending(folder, "exec was killed")
        # By the clock that cannot step back: nothing ends before it has begun.
        ending = {**ending, "ended_at": run["started_at"] + ending["duration_ms"] / 1000}
        known = folder.read(LEASE)
        try:
            if known is None:
                body = dict(run["create"])
                body["claim"] = {**body["claim"], "started_at": timestamp(run["started_at"])}
                lease = self._create(body)
                known = {"lease": lease.document(), "told_late": True}
                folder.write(LEASE, known)
        except Unreachable as error:
            return Verdict(_BLOCKED, str(error))
        except Problem as problem:
            verdict = verdict_on(problem)
            return verdict._replace(kind=_BLOCKED) if problem.status in _ABOUT_ALL else verdict
        # Its own: to give up one run must not cut the others off.
        client = self._client.sibling()
        delivery = Delivery(
            Lease(**known["lease"]),
            client,
            Outputs(folder.path),
            watch=Over(),
            ending=lambda: ending,
            on_cancel=_nothing,
            on_lease_lost=_nothing,
            log=self._log,
            resumed=True,
            told_late=known["told_late"],
            failures_max=FAILURES_MAX,
        )
        self._delivery = delivery
        if self._stopped.is_set():  # `stop` may have come before there was a delivery
            delivery.give_up()
        try:
            return delivery.carry_out()
        finally:
            client.close()


def _nothing() -> None:
    pass
