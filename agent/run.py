"""One run of one command: its process, its two streams and their readers, put together."""

from __future__ import annotations

import time

from agent import threads
from agent.kept_output import KeptWriter
from agent.pipe import PipeReader
from agent.process import KILL_GRACE_SECONDS, CannotStart, Command, Ending, RunningCommand, start

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from collections.abc import Callable


class Run:
    """Starts a command and sees it through to its end."""

    def __init__(
        self,
        command: Command,
        outputs: tuple[KeptWriter, KeptWriter],
        *,
        timeout_seconds: float | None,
        grace_seconds: float = KILL_GRACE_SECONDS,
        copy_to: tuple[int, int] | None = None,
        adopting: bool = False,
        on_started: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare a run.

        Args:
            command: What to run.
            outputs: Where stdout and stderr are kept.
            timeout_seconds: When to end it; None: never.
            grace_seconds: From SIGTERM to SIGKILL.
            copy_to: Descriptors that get stdout and stderr as they come.
            adopting: This process does nothing else: see `process.start`.
            on_started: Called when the command runs, or cannot be started.
        """
        self._command = command
        self._outputs = outputs
        self._timeout_seconds = timeout_seconds
        self._grace_seconds = grace_seconds
        self._copy_to = copy_to
        self._adopting = adopting
        self._on_started = on_started
        self._running: RunningCommand | None = None
        # Requests may come before the process is there; they are carried out when it is.
        self._lock = threads.RLock()
        self._requests: list[tuple[str, str, float | None]] = []
        self._signals: list[int] = []

    def end(self, reason: str, grace_seconds: float | None = None) -> None:
        """End the command with grace, at most its own: see `RunningCommand.end`."""
        self._request("end", reason, grace_seconds)

    def kill(self, reason: str) -> None:
        """End the command at once."""
        self._request("kill", reason, None)

    def send_signal(self, number: int) -> None:
        """Pass a signal on to the command."""
        with self._lock:
            if self._running is None:
                self._signals.append(number)
            else:
                self._running.send_signal(number)

    def carry_out(self) -> Ending:
        """Run the command to its end, with all its output read; a failed start is an ending too."""
        try:
            running = start(self._command, adopting=self._adopting)
        except CannotStart as refusal:
            self._on_started()
            for stream in self._outputs:
                stream.close()
            return refusal.ending()
        out_copy, err_copy = self._copy_to or (None, None)
        readers = (
            PipeReader(running.stdout, self._outputs[0], out_copy),
            PipeReader(running.stderr, self._outputs[1], err_copy),
        )
        for reader in readers:
            reader.start()
        self._adopt(running)
        self._on_started()
        ending = running.supervise(self._timeout_seconds, self._grace_seconds)
        for reader in readers:
            reader.expect_end()
        for reader in readers:
            reader.join()
        return ending

    def _request(self, kind: str, reason: str, grace_seconds: float | None) -> None:
        with self._lock:
            if self._running is None:
                self._requests.append((kind, reason, grace_seconds))
            elif kind == "kill":
                self._running.kill(reason)
            else:
                self._running.end(reason, grace_seconds)

    def _adopt(self, running: RunningCommand) -> None:
        with self._lock:
            self._running = running
            for number in self._signals:
                running.send_signal(number)
            for kind, reason, grace_seconds in self._requests:
                self._request(kind, reason, grace_seconds)


def ending_document(
    ending: Ending, outputs: tuple[KeptWriter, KeptWriter], ended_at: float | None = None
) -> dict[str, object]:
    """Return what the run's folder says of its end; without what is secret in its sentence."""
    masker = outputs[0].masker
    error = ending.error
    if error is not None and masker is not None:
        error = masker.text(error)
    return {
        "outcome": ending.outcome,
        "exit_code": ending.exit_code,
        "signal": ending.signal,
        "failure_reason": ending.failure_reason,
        "error": error,
        "duration_ms": ending.duration_ms,
        "ended_at": time.time() if ended_at is None else ended_at,
        "streams": {stream.name: stream.summary() for stream in outputs},
        "masked": any(stream.masker and stream.masker.masked for stream in outputs),
    }
