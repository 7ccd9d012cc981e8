"""The runs that an agent has under way: each from its start, or from where it was found."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from agent.assignment import Assignment, Settings
from agent.client import Client
from agent.delivery import REFUSED, UNFINISHED, Delivery, Outputs, Over, Verdict, settle
from agent.lease import Lease
from agent.process import AGENT_SHUTDOWN, CANCELED, EXITED, LEASE_LOST, CannotStart
from agent.recovery import Found, ending_of
from agent.run_folder import BEGUN, DELIVERING, RUN, RUNNING, RunFolder
from agent.spool import Spool
from agent.supervised import Supervised, last_words


class Work:
    """Runs commands under supervisors and reports them; `end` and the like reach all of them."""

    def __init__(self, settings: Settings, log: Callable[[str], None]) -> None:
        self._settings = settings
        self._log = log
        self._lock = threading.Lock()
        self._under_way: set[tuple[Supervised | None, Delivery]] = set()
        self._over = threading.Event()
        self._given_up = threading.Event()

    def end(self) -> None:
        """End every command, with grace, because the agent stops."""
        self._over.set()
        for supervised, _ in self._all():
            if supervised is not None:
                supervised.end(AGENT_SHUTDOWN)

    def kill(self) -> None:
        """End every command without any grace."""
        self._over.set()
        for supervised, _ in self._all():
            if supervised is not None:
                supervised.kill(AGENT_SHUTDOWN)

    def give_up_reports(self) -> None:
        """End all attempts to reach the server: the rest is left for the next agent."""
        self._given_up.set()
        for _, delivery in self._all():
            delivery.give_up()

    def _all(self) -> list[tuple[Supervised | None, Delivery]]:
        with self._lock:
            return list(self._under_way)

    def carry_out(self, assignment: Assignment, client: Client) -> None:
        """Run a claimed execution to its end, and report it."""
        lease = assignment.lease
        if self._over.is_set():
            sentence = "its agent was stopped before the command was started"
            self._hand_back(lease, client, AGENT_SHUTDOWN, sentence)
            return
        try:
            found = self._begin(assignment)
        except (OSError, LookupError, CannotStart) as error:
            self._hand_back(lease, client, "spawn_failed", f"its agent cannot run it: {error}")
            return
        self._log(f"{lease.execution_id}: started, job {assignment.job_name!r}")
        self.see_through(found, client)

    def _begin(self, assignment: Assignment) -> Found:
        run, lease, job = assignment.run(), assignment.lease, assignment.job(self._settings)
        folder, (running, delivering) = RunFolder.make(
            self._settings.runs, lease.execution_id, RUNNING, DELIVERING
        )
        try:
            folder.write(RUN, run)
            # At this point an agent that comes after us knows of it.
            supervised = Supervised.start(folder, running, job)
        except Exception:
            with contextlib.suppress(OSError):
                folder.remove()
            os.close(delivering)
            raise
        finally:
            os.close(running)
        return Found(folder, delivering, run, lease, supervised)

    def _hand_back(self, lease: Lease, client: Client, reason: str, sentence: str) -> None:
        """Report an execution that was never started here."""
        ending = {
            "outcome": EXITED,
            "failure_reason": reason,
            "error": sentence,
            "duration_ms": 0,
            "streams": {},
        }
        delivery = Delivery(
            lease,
            client,
            Outputs(self._settings.runs / lease.execution_id),
            watch=Over(),
            ending=lambda: ending,
            on_cancel=_nothing,
            on_lease_lost=_nothing,
            log=self._log,
        )
        verdict = self._deliver(delivery, None)
        self._log(f"{lease.execution_id}: {sentence}, {_told(verdict)}")

    def see_through(self, found: Found, client: Client, *, resumed: bool = False) -> None:
        """Deliver a run to its end, and settle its folder; `resumed` after another agent."""
        folder, supervised = found.folder, found.supervised
        endings: list[Mapping[str, Any]] = []

        def ending() -> Mapping[str, Any]:
            endings.append(ending_of(folder, self._settings.kill_grace_seconds))
            if folder.read(BEGUN) is None and (words := last_words(folder)) is not None:
                self._log(f"{folder.execution_id}: its supervisor has died: {words}")
            return endings[-1]

        def end(reason: str) -> None:
            if supervised is not None:
                supervised.end(reason)

        def lease_lost() -> None:
            # What the ledger has given up may go on: its true outcome is kept there too.
            if found.run.get("stop_when_cut_off"):
                end(LEASE_LOST)

        delivery = Delivery(
            found.lease,
            client,
            Outputs(folder.path),
            watch=supervised or Over(),
            ending=ending,
            on_cancel=lambda: end(CANCELED),
            on_lease_lost=lease_lost,
            on_renewed=_nothing if supervised is None else supervised.renewed,
            log=self._log,
            resumed=resumed,
        )
        try:
            verdict = self._deliver(delivery, supervised)
            settle(folder, verdict)
            self._bound_refused(verdict)
        finally:
            if supervised is not None:
                supervised.close()
            os.close(found.delivering)
        how = _summary(endings[-1]) if endings else "not over"
        self._log(f"{folder.execution_id}: {how}, {_told(verdict)}")

    def _bound_refused(self, verdict: Verdict) -> None:
        if verdict.kind == REFUSED:
            dropped = Spool(self._settings.runs.parent).trim_refused()
            if dropped is not None:
                self._log(dropped)

    def _deliver(self, delivery: Delivery, supervised: Supervised | None) -> Verdict:
        with self._lock:
            self._under_way.add((supervised, delivery))
        try:
            if self._over.is_set() and supervised is not None:
                supervised.end(AGENT_SHUTDOWN)  # it was not yet at work when the others were told
            if self._given_up.is_set():
                delivery.give_up()
            return delivery.carry_out()
        finally:
            with self._lock:
                self._under_way.discard((supervised, delivery))


def _nothing(*_arguments: object) -> None:
    pass


def _summary(ending: Mapping[str, Any]) -> str:
    how = ending["error"] or f"exited with code {ending['exit_code']}"
    counts = [str(stream["bytes"]) for stream in ending["streams"].values()]
    written = f", {' + '.join(counts)} bytes of output" if counts else ""
    return f"{how}, after {ending['duration_ms']} ms{written}"


def _told(verdict: Verdict) -> str:
    if verdict.kind == UNFINISHED:
        return f"not recorded yet: {verdict.sentence}"
    if verdict.kind == REFUSED:
        return f"not recorded: {verdict.sentence}"
    return f"recorded: {verdict.sentence}" if verdict.sentence else "recorded"
