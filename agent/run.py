"""One run of one command: its process, its two streams and their readers, put together."""

from __future__ import annotations

import threading

from agent.output import KEPT_BYTES_MAX, UNSENT_BYTES_MAX, OutputStream
from agent.pipe import PipeReader
from agent.process import KILL_GRACE_SECONDS, CannotStart, Command, Ending, RunningCommand, start


class Outputs:
    """The two streams of a run, with the condition that tells their sender of news."""

    def __init__(
        self, *, kept_max: int = KEPT_BYTES_MAX, unsent_max: int = UNSENT_BYTES_MAX
    ) -> None:
        self.changed = threading.Condition()
        self.stdout = OutputStream("stdout", self.changed, kept_max=kept_max, unsent_max=unsent_max)
        self.stderr = OutputStream("stderr", self.changed, kept_max=kept_max, unsent_max=unsent_max)
        self.both = (self.stdout, self.stderr)

    def discard(self) -> None:
        """Keep nothing more of either."""
        for stream in self.both:
            stream.discard()

    def close(self) -> None:
        """Say that nothing more comes (or nothing ever came)."""
        for stream in self.both:
            stream.close()


class Run:
    """Starts a command and sees it through to its end."""

    def __init__(
        self,
        command: Command,
        outputs: Outputs,
        *,
        timeout_seconds: float | None,
        grace_seconds: float = KILL_GRACE_SECONDS,
        copy_to: tuple[int, int] | None = None,
    ) -> None:
        """Prepare a run; `copy_to` are descriptors that get stdout and stderr as they come."""
        self._command = command
        self._outputs = outputs
        self._timeout_seconds = timeout_seconds
        self._grace_seconds = grace_seconds
        self._copy_to = copy_to
        self._running: RunningCommand | None = None
        # Requests may come before the process is there; they are carried out when it is.
        self._lock = threading.RLock()
        self._requests: list[tuple[str, str]] = []
        self._signals: list[int] = []

    def end(self, reason: str) -> None:
        """End the command with grace: see `RunningCommand.end`."""
        self._request("end", reason)

    def kill(self, reason: str) -> None:
        """End the command at once."""
        self._request("kill", reason)

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
            running = start(self._command)
        except CannotStart as refusal:
            self._outputs.close()
            return refusal.ending()
        out_copy, err_copy = self._copy_to or (None, None)
        readers = (
            PipeReader(running.stdout, self._outputs.stdout, out_copy),
            PipeReader(running.stderr, self._outputs.stderr, err_copy),
        )
        for reader in readers:
            reader.start()
        self._adopt(running)
        ending = running.supervise(self._timeout_seconds, self._grace_seconds)
        for reader in readers:
            reader.expect_end()
        for reader in readers:
            reader.join()
        return ending

    def _request(self, kind: str, reason: str) -> None:
        with self._lock:
            if self._running is None:
                self._requests.append((kind, reason))
            elif kind == "kill":
                self._running.kill(reason)
            else:
                self._running.end(reason)

    def _adopt(self, running: RunningCommand) -> None:
        with self._lock:
            self._running = running
            for number in self._signals:
                running.send_signal(number)
            for kind, reason in self._requests:
                self._request(kind, reason)
