"""Brings one run from its folder to the server: output and heartbeats while it runs, then its end.

It is the same for a run that is under way, one that was found after a restart, and one that was
over long ago: what differs is when its watch says that it is over.
"""

from __future__ import annotations

import time

from agent import threads
from agent.backoff import Backoff
from agent.client import Client, Problem, Unreachable
from agent.heartbeat import Heartbeat
from agent.kept_output import KEPT_BYTES_MAX, STREAMS, Chunk, KeptOutput
from agent.lease import LEASE_LOST_CODE, Lease, report_of
from agent.record import Record
from agent.run_folder import RunFolder

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike
    from typing import Any, Protocol

    class Watch(Protocol):
        """What tells of a run that is under way."""

        @property
        def over(self) -> bool:
            """True when all its output is in its folder, and its end too if anybody saw it."""

        def wait(self, seconds: float | None, *, for_news: bool) -> None:
            """Wait until it is over, for a time, or also for news of more output."""


_RESENDS_MAX = 5
# What is told sooner ended when the server hears of it, whatever the clocks of the two say.
_AT_ONCE_SECONDS = 2.0
_TOO_LARGE = 413
_NOT_AUTHORISED = frozenset({401, 403})
_KEPT_CODE = "kept_as_late_outcome"
_TICK_SECONDS = 0.5  # how late it may notice that it is to give up

RECORDED = "recorded"
REFUSED = "refused"
UNFINISHED = "unfinished"


class Verdict(Record):
    """What became of a delivery.

    Attributes:
        kind: RECORDED (or known to the server in another way), REFUSED for ever, or UNFINISHED.
        sentence: Why it is not simply recorded.
    """

    kind: str
    sentence: str = ""


def verdict_on(problem: Problem) -> Verdict:
    """Return what a refusal means for a run that is to be recorded.

    A wrong token is about us and not about the run, which the next one may deliver.
    """
    sentence = str(problem)
    if problem.passing or problem.status in _NOT_AUTHORISED:
        return Verdict(UNFINISHED, sentence)
    return Verdict(RECORDED if problem.code == _KEPT_CODE else REFUSED, sentence)


def settle(folder: RunFolder, verdict: Verdict) -> None:
    """Do with a run's folder what its delivery has come to; what is unfinished stays."""
    if verdict.kind == RECORDED:
        folder.remove()
    elif verdict.kind == REFUSED:
        folder.set_aside(verdict.sentence)


class Over:
    """The watch of a run that is over."""

    over = True

    def wait(self, seconds: float | None, *, for_news: bool) -> None:
        """Return at once: there is nothing to wait for."""


class Outputs:
    """The two streams of a run in its folder."""

    def __init__(self, folder: PathLike[str] | str, *, kept_max: int = KEPT_BYTES_MAX) -> None:
        self.stdout, self.stderr = (KeptOutput(folder, name, kept_max=kept_max) for name in STREAMS)
        self.both = (self.stdout, self.stderr)

    def look(self) -> None:
        """See what has come."""
        for stream in self.both:
            stream.look()

    def close(self, ending: Mapping[str, Any]) -> None:
        """Take the lengths that its end tells."""
        for stream in self.both:
            counted = ending["streams"].get(stream.name)
            stream.close(counted["bytes"] if counted else None)


class Delivery:
    """From its beginning to the verdict, the server hears of this run whenever it can be reached.

    It never gives up on a server that is away, until `give_up` is called.
    """

    def __init__(
        self,
        lease: Lease,
        client: Client,
        outputs: Outputs,
        *,
        watch: Watch,
        ending: Callable[[], Mapping[str, Any]],
        on_cancel: Callable[[], None],
        on_lease_lost: Callable[[], None],
        on_renewed: Callable[[float], None] = lambda _sent_at: None,
        log: Callable[[str], None],
        resumed: bool = False,
        told_late: bool = False,
        failures_max: int | None = None,
    ) -> None:
        """Prepare a delivery.

        Args:
            lease: What it is reported under.
            client: The server.
            outputs: What is kept of the run's streams.
            watch: Tells when the run is over.
            ending: Returns how it ended, when it is over.
            on_cancel: Called when somebody asks for the end of the command, perhaps repeatedly.
            on_lease_lost: Called when the server has given us up, perhaps repeatedly.
            on_renewed: Called with the time at which an answered heartbeat was sent.
            log: Takes a line for people.
            resumed: The server may have some of the output already.
            told_late: The server did not hear of the run while it ran.
            failures_max: How many requests may fail, one after the other, before it gives up.
        """
        self._lease = lease
        self._client = client
        self._outputs = outputs
        self._watch = watch
        self._ending = ending
        self._on_cancel = on_cancel
        self._on_lease_lost = on_lease_lost
        self._log = log
        self._resumed = resumed
        self._told_late = told_late
        self._given_up = threads.Event()
        self._failures_max = failures_max
        self._failures = 0
        self._obstacle: Verdict | None = None  # what has made it give up by itself
        self._refused = False
        self._backoff = Backoff()
        self._heartbeat = Heartbeat(
            lease,
            client.sibling(),
            on_cancel=on_cancel,
            on_lease_lost=on_lease_lost,
            on_renewed=on_renewed,
            log=log,
        )

    def carry_out(self) -> Verdict:
        """Deliver what comes until it is over, then the rest and the outcome."""
        self._heartbeat.start()
        try:
            if self._resumed:
                self._outputs.look()
                self._probe()
            self._deliver_until_over()
            ending = self._ending()
            self._outputs.close(ending)
            self._deliver_rest()
            return self._complete(ending)
        finally:
            self._heartbeat.stop()

    def give_up(self) -> None:
        """End all attempts to reach the server; the verdict comes soon, if the run is over."""
        self._given_up.set()
        self._client.abort()

    def _deliver_until_over(self) -> None:
        while not self._watch.over:
            self._outputs.look()
            due = None if self._stopped() else self._next_due()
            if due is None:
                self._watch.wait(_TICK_SECONDS, for_news=not self._stopped())
                continue
            moment, stream = due
            left = moment - time.monotonic()
            if left > 0:
                self._watch.wait(left, for_news=False)
            else:
                self._send(stream, stream.next_chunk())

    def _deliver_rest(self) -> None:
        while not self._stopped() and (due := self._next_due()) is not None:
            self._send(due[1], due[1].next_chunk())

    def _next_due(self) -> tuple[float, KeptOutput] | None:
        due = [(moment, one) for one in self._outputs.both if (moment := one.due_at()) is not None]
        return min(due, key=lambda pair: pair[0], default=None)

    def _probe(self) -> None:
        """Learn where the server stands with each stream."""
        for stream in self._outputs.both:
            self._send(stream, stream.probe())

    def _send(self, stream: KeptOutput, chunk: Chunk) -> None:
        try:
            next_offset, cancel_requested = self._lease.append(self._client, stream.name, chunk)
        except Unreachable as error:
            self._pause(self._backoff.next_delay(), str(error))
        except Problem as problem:
            self._handle(problem, stream, chunk)
        else:
            self._backoff.reset()
            self._failures = 0
            stream.acknowledge(next_offset)
            if cancel_requested:
                self._on_cancel()

    def _handle(self, problem: Problem, stream: KeptOutput, chunk: Chunk) -> None:
        expected = problem.expected_offset
        if problem.passing:
            self._pause(self._backoff.next_delay(problem.retry_after), str(problem))
        elif problem.code == LEASE_LOST_CODE:
            self._refused = True
            self._on_lease_lost()
        elif expected is not None and expected != chunk.offset:
            stream.acknowledge(expected)
        elif problem.status == _TOO_LARGE and chunk.data:
            self._say(f"the rest of {stream.name} is not kept: {problem}")
            stream.discard()
        else:
            self._refused = True
            self._say(f"output is refused: {problem}")

    def _complete(self, ending: Mapping[str, Any]) -> Verdict:
        resends = 0
        while self._obstacle is None:
            outputs = (self._outputs.stdout, self._outputs.stderr)
            now = time.time()
            ended_at = ending.get("ended_at", now)  # of what never began there is none
            is_late = self._told_late or now - ended_at > _AT_ONCE_SECONDS
            report = report_of(ending, outputs, told_late=is_late, output_refused=self._refused)
            try:
                self._lease.complete(self._client, report)
            except Unreachable as error:
                verdict, delay = Verdict(UNFINISHED, str(error)), self._backoff.next_delay()
            except Problem as problem:
                verdict = verdict_on(problem)
                delay = self._backoff.next_delay(problem.retry_after)
                if problem.expected_offset is not None and resends < _RESENDS_MAX:
                    resends += 1
                    self._probe()
                    self._deliver_rest()
                    continue
                if not problem.passing:
                    return verdict
            else:
                return Verdict(RECORDED)
            if self._given_up.is_set():
                return verdict
            self._say(f"not recorded yet: {verdict.sentence}")
            self._pause(delay, verdict.sentence)
        return self._obstacle

    def _pause(self, seconds: float, obstacle: str) -> None:
        self._failures += 1
        if self._failures == self._failures_max:
            self._obstacle = Verdict(UNFINISHED, obstacle)
            self.give_up()
        self._given_up.wait(seconds)

    def _stopped(self) -> bool:
        return self._refused or self._given_up.is_set()

    def _say(self, sentence: str) -> None:
        self._log(f"{self._lease.execution_id}: {sentence}")
