"""The agent: claims executions, runs their commands, and reports how they ended."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.backoff import Backoff
from agent.client import Client, Problem, Unreachable
from agent.lease import EXECUTIONS, Lease
from agent.process import (
    AGENT_SHUTDOWN,
    CANCELED,
    EXITED,
    KILL_GRACE_SECONDS,
    LEASE_LOST,
    Command,
    Ending,
    scratch_environment,
)
from agent.recording import Recording
from agent.run import Outputs, Run

CONCURRENCY = 4
# A stopping agent must not cut its waiting claim (the execution it may get would be lost), so the
# wait bounds how long an idle agent takes to stop.
CLAIM_WAIT_SECONDS = 5
_POLL_MARGIN_SECONDS = 10.0
LAST_CLAIM_SECONDS = 5.0
LAST_REPORT_SECONDS = 20.0
_HURRIED_REPORT_SECONDS = 2.0
_EARLY_SECONDS = 0.5
# What was granted under a claim's id is lost after a lease without a heartbeat, and the id with it.
CLAIM_ID_SECONDS = 30.0
_NOT_AUTHORISED = frozenset({401, 403})
_NO_CONTENT = 204


@dataclass(frozen=True)
class Settings:
    """How an agent works.

    Attributes:
        agent_id: The name under which its executions are recorded.
        concurrency: How many commands may run at once.
        claim_wait_seconds: How long one claim waits for work.
        kill_grace_seconds: From SIGTERM to SIGKILL.
        last_report_seconds: How long a stopping agent tries to deliver outcomes after the grace.
        claim_id_seconds: How long one claim is repeated to a server that answers with 5xx.
    """

    agent_id: str
    concurrency: int = CONCURRENCY
    claim_wait_seconds: int = CLAIM_WAIT_SECONDS
    kill_grace_seconds: float = KILL_GRACE_SECONDS
    last_report_seconds: float = LAST_REPORT_SECONDS
    claim_id_seconds: float = CLAIM_ID_SECONDS


@dataclass(frozen=True)
class Assignment:
    """A claimed execution: what to run, and the lease to report under."""

    lease: Lease
    job_name: str
    command: Command
    timeout_seconds: int | None

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Assignment:
        """Read the answer to a claim."""
        execution = answer["execution"]
        environment = scratch_environment(
            execution.get("environment") or {}, execution["id"], execution["job_name"]
        )
        return cls(
            Lease.from_answer(answer),
            execution["job_name"],
            Command(execution["command"], environment, execution.get("working_dir")),
            execution.get("timeout_seconds"),
        )


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
        self._settings = settings
        self._client = client
        self._log = log
        self._on_idle_for_good = on_idle_for_good
        # One waiting claim for the whole agent: it is enough to hear of work at once, and a server
        # with hundreds of idle agents has that many fewer polls to hold.
        self._turn = threading.Lock()
        self._backoff = Backoff()  # of claims, whatever their ids
        self._stopping = threading.Event()
        self._claims_over = threading.Event()
        self._lock = threading.Lock()
        self._at_work: set[tuple[Run, Recording]] = set()
        self._slots_left = settings.concurrency
        self._away = False
        self.refusal: Problem | None = None

    def start(self) -> None:
        """Begin to claim."""
        for number in range(self._settings.concurrency):
            threading.Thread(target=self._slot, name=f"slot {number + 1}", daemon=True).start()

    def stop(self) -> None:
        """Claim no more, end with grace what runs, report it; `on_idle_for_good` tells when."""
        self._stopping.set()
        for run, _ in self._work():
            run.end(AGENT_SHUTDOWN)
        _later(LAST_CLAIM_SECONDS, self._claims_over.set)
        _later(
            self._settings.kill_grace_seconds + self._settings.last_report_seconds,
            self._give_up_reports,
        )

    def hurry(self) -> None:
        """Stop without any grace: kill what runs, and give the reports a moment only."""
        self._stopping.set()
        for run, _ in self._work():
            run.kill(AGENT_SHUTDOWN)
        self._claims_over.set()
        _later(_HURRIED_REPORT_SECONDS, self._give_up_reports)

    def _work(self) -> list[tuple[Run, Recording]]:
        with self._lock:
            return list(self._at_work)

    def _give_up_reports(self) -> None:
        for _, recording in self._work():
            recording.give_up()

    def _slot(self) -> None:
        client = self._client.sibling()
        try:
            while not self._stopping.is_set() and self.refusal is None:
                self._work_once(client)
        finally:
            client.close()
            with self._lock:
                self._slots_left -= 1
                last = self._slots_left == 0
            if last:
                self._on_idle_for_good()

    def _work_once(self, client: Client) -> None:
        try:
            with self._turn:
                assignment = self._claim(client)
            if assignment is not None:
                self._carry_out(assignment, client)
        except Exception as error:  # noqa: BLE001 - one bad execution must not cost the agent a slot
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
                self._note_away(str(error))
                delay = self._backoff.next_delay()
            except Problem as problem:
                failing_since = failing_since or time.monotonic()
                delay = self._backoff.next_delay(problem.retry_after)
                if not self._may_be_repeated(problem, failing_since):
                    self._stopping.wait(delay)
                    return None
                unsettled = True  # a 5xx does not say that nothing was done
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
        return time.monotonic() - failing_since < self._settings.claim_id_seconds

    def _ask_for_work(self, client: Client, claim_id: str) -> Assignment | None:
        wait_seconds = 0 if self._stopping.is_set() else self._settings.claim_wait_seconds
        began = time.monotonic()
        answer = client.post(
            f"{EXECUTIONS}/claim",
            {"agent_id": self._settings.agent_id, "wait_seconds": wait_seconds},
            headers={"Claim-Id": claim_id},
            answer_seconds=wait_seconds + _POLL_MARGIN_SECONDS,
        )
        self._backoff.reset()
        if self._away:
            self._away = False
            self._log("the server answers again")
        if answer.status != _NO_CONTENT:
            return Assignment.from_answer(answer.json())
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

    def _carry_out(self, assignment: Assignment, client: Client) -> None:
        execution_id = assignment.lease.execution_id
        outputs = Outputs()
        run = Run(
            assignment.command,
            outputs,
            timeout_seconds=assignment.timeout_seconds,
            grace_seconds=self._settings.kill_grace_seconds,
        )
        recording = Recording(
            assignment.lease,
            client,
            outputs,
            on_cancel=lambda: run.end(CANCELED),
            on_lease_lost=lambda: run.end(LEASE_LOST),
            log=self._log,
        )
        with self._lock:
            self._at_work.add((run, recording))
        try:
            self._log(f"{execution_id}: started, job {assignment.job_name!r}")
            recording.start()
            ending = self._run_unless_stopping(run, outputs)
            sentence = recording.finish(ending)
        finally:
            with self._lock:
                self._at_work.discard((run, recording))
        self._log(f"{execution_id}: {_summary(ending, outputs)}, {_told(sentence)}")

    def _run_unless_stopping(self, run: Run, outputs: Outputs) -> Ending:
        if not self._stopping.is_set():
            return run.carry_out()
        outputs.close()
        return Ending(
            EXITED,
            None,
            None,
            AGENT_SHUTDOWN,
            "its agent was stopped before the command was started",
            0,
        )


def _later(seconds: float, action: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()


def _summary(ending: Ending, outputs: Outputs) -> str:
    how = ending.error or f"exited with code {ending.exit_code}"
    written = f"{outputs.stdout.size} + {outputs.stderr.size} bytes of output"
    return f"{how}, after {ending.duration_ms} ms, {written}"


def _told(sentence: str | None) -> str:
    return "recorded" if sentence is None else f"not recorded: {sentence}"
