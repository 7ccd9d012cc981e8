"""The agent: claims executions, has their commands run, and reports how they ended.

Each command has a supervisor of its own and a folder that outlives both. So an agent that is
killed loses nothing: the next one finds the folder, and goes on where this one stood.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable

from agent.assignment import Assignment, Settings
from agent.backoff import Backoff
from agent.client import Client, Problem, Unreachable
from agent.lease import EXECUTIONS
from agent.recovery import Found, find_runs
from agent.work import Work

_POLL_MARGIN_SECONDS = 10.0
LAST_CLAIM_SECONDS = 5.0
_HURRIED_REPORT_SECONDS = 2.0
_EARLY_SECONDS = 0.5
_LEASE_SECONDS_UNTIL_KNOWN = 6.0  # no server is thought to grant much shorter ones
_NOT_AUTHORISED = frozenset({401, 403})
_NO_CONTENT = 204


class Agent:
    """A number of slots, each of which claims, runs and reports, one execution after the other."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        *,
        log: Callable[[str], None],
        on_idle_for_good: Callable[[], object] = lambda: None,
    ) -> None:
        """Prepare an agent; `on_idle_for_good` is called from the last slot that ends."""
        self.settings = settings
        self._client = client
        self._poller = client.sibling()  # the one that waits for work, and is cut when we stop
        self._log = log
        self._on_idle_for_good = on_idle_for_good
        # One waiting claim for the whole agent: it is enough to hear of work at once, and a server
        # with hundreds of idle agents has that many fewer polls to hold.
        self._turn = threading.Lock()
        self._backoff = Backoff()  # of claims, whatever their ids
        # Of those whose answer is missing: one may have been granted, its lease runs, and only the
        # same claim, sent again, brings it here.
        self._unsettled_backoff = Backoff.within_lease(_LEASE_SECONDS_UNTIL_KNOWN)
        self._stopping = threading.Event()
        self._claims_over = threading.Event()
        self._lock = threading.Lock()
        self._work = Work(settings, log)
        self._found: deque[Found] = deque()
        self._slots_left = 0
        self._away = False
        self.refusal: Problem | None = None

    def start(self) -> None:
        """Take up what an earlier agent has left, then begin to claim."""
        found = find_runs(self.settings.runs, self._log)
        for one in found:
            how = "is over" if one.supervised is None else "still runs"
            self._log(f"{one.folder.execution_id}: found, its command {how}")
        # First those that still run: their leases are to be renewed.
        self._found.extend(sorted(found, key=lambda one: one.supervised is None))
        self._slots_left = max(self.settings.concurrency, len(found))
        for number in range(self._slots_left):
            threading.Thread(
                target=self._slot, args=(number,), name=f"slot {number + 1}", daemon=True
            ).start()

    def stop(self) -> None:
        """Claim no more; let what runs finish for a time, then end it, and report it.

        `on_idle_for_good` tells when all is done.
        """
        self._claim_no_more()
        drain_seconds = self.settings.drain_seconds
        if drain_seconds > 0:
            _later(drain_seconds, self._work.end)
        else:
            self._work.end()
        _later(LAST_CLAIM_SECONDS, self._claims_over.set)
        _later(
            drain_seconds + self.settings.kill_grace_seconds + self.settings.last_report_seconds,
            self._work.give_up_reports,
        )

    def hurry(self) -> None:
        """Stop without any grace: kill what runs, and give the reports a moment only."""
        self._claim_no_more()
        self._work.kill()
        self._claims_over.set()
        _later(_HURRIED_REPORT_SECONDS, self._work.give_up_reports)

    def _claim_no_more(self) -> None:
        self._stopping.set()
        # Whoever waits for work is cut; whether it got some in that moment is asked afterwards.
        self._poller.abort()

    def _slot(self, number: int) -> None:
        client = self._client.sibling()
        try:
            while (found := self._next_found()) is not None:
                self._take_up(found, client)
            # More may have been left than we run at once: those slots do nothing else.
            while (
                number < self.settings.concurrency
                and not self._stopping.is_set()
                and self.refusal is None
            ):
                self._work_once(client)
        finally:
            client.close()
            with self._lock:
                self._slots_left -= 1
                last = self._slots_left == 0
            if last:
                self._poller.close()
                self._on_idle_for_good()

    def _next_found(self) -> Found | None:
        with self._lock:
            return self._found.popleft() if self._found else None

    def _take_up(self, found: Found, client: Client) -> None:
        try:
            self._work.see_through(found, client, resumed=True)
        except Exception as error:  # noqa: BLE001 - as below
            self._note_fault(error)

    def _work_once(self, client: Client) -> None:
        try:
            with self._turn:
                assignment = self._claim(client)
            if assignment is not None:
                self._work.carry_out(assignment, client)
        except Exception as error:  # noqa: BLE001 - one bad execution must not cost the agent a slot
            self._note_fault(error)

    def _note_fault(self, error: Exception) -> None:
        self._log(f"unexpected: {type(error).__name__}: {error}")
        self._stopping.wait(1)

    def _claim(self, client: Client) -> Assignment | None:
        """Claim until there is an answer; None: no work now, or an id that leads nowhere."""
        claim_id = str(uuid.uuid4())
        unsettled = False  # a claim was sent, and may have been granted, but its answer is missing
        failing_since: float | None = None
        while self.refusal is None and not self._claims_over.is_set():
            if self._stopping.is_set() and not unsettled:
                return None
            try:
                return self._ask_for_work(client, claim_id)
            except Unreachable as error:
                unsettled = unsettled or error.sent
                failing_since = None
                if error.cut:
                    continue
                self._note_away(str(error))
                backoff = self._unsettled_backoff if unsettled else self._backoff
                delay = backoff.next_delay()
            except Problem as problem:
                failing_since = failing_since or time.monotonic()
                if not self._may_be_repeated(problem, failing_since):
                    self._stopping.wait(self._backoff.next_delay(problem.retry_after))
                    return None
                unsettled = True  # a 5xx does not say that nothing was done
                delay = self._unsettled_backoff.next_delay(problem.retry_after)
            # While stopping, only the unsettled claim is worth the waiting, and that not for long.
            (self._claims_over if self._stopping.is_set() else self._stopping).wait(delay)
        return None

    def _may_be_repeated(self, problem: Problem, failing_since: float) -> bool:
        """Log why a claim failed; True if its id may still bring an execution."""
        if problem.status in _NOT_AUTHORISED:
            self._be_refused(problem)
            return False
        if not problem.passing:
            # The same id would be answered in the same way for ever, such as after a lost lease.
            self._log(f"a claim was refused: {problem}")
            return False
        self._note_away(f"the claim was refused: {problem}")
        return time.monotonic() - failing_since < self.settings.claim_id_seconds

    def _ask_for_work(self, client: Client, claim_id: str) -> Assignment | None:
        settle = self._stopping.is_set()
        wait_seconds = 0 if settle else self.settings.claim_wait_seconds
        began = time.monotonic()
        answer = (client if settle else self._poller).post(
            f"{EXECUTIONS}/claim",
            {
                "agent_id": self.settings.agent_id,
                "wait_seconds": wait_seconds,
                "labels": self.settings.labels,
                "version": self.settings.version,
                "concurrency": self.settings.concurrency,
                "settle": settle,
            },
            headers={"Claim-Id": claim_id},
            answer_seconds=wait_seconds + _POLL_MARGIN_SECONDS,
        )
        self._backoff.reset()
        self._unsettled_backoff.reset()
        if self._away:
            self._away = False
            self._log("the server answers again")
        if answer.status != _NO_CONTENT:
            assignment = Assignment.from_answer(answer.json(), began)
            self._unsettled_backoff = Backoff.within_lease(assignment.lease.seconds)
            return assignment
        if time.monotonic() - began < min(wait_seconds, _EARLY_SECONDS):
            # The server stops, or is another that does not poll: not so often then. The others
            # wait for their turn meanwhile.
            self._stopping.wait(_EARLY_SECONDS)
        return None

    def _note_away(self, sentence: str) -> None:
        if not self._away:
            self._away = True
            self._log(f"{sentence}; trying again until it works")

    def _be_refused(self, problem: Problem) -> None:
        if self.refusal is None:
            self.refusal = problem
            self._log(f"claims no more, the server does not allow it: {problem}")


def _later(seconds: float, action: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()
