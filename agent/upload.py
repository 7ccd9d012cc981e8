"""Sends a run's output to the server while the command runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from agent.backoff import Backoff
from agent.client import Client, Problem, Unreachable
from agent.lease import LEASE_LOST_CODE, Lease
from agent.output import Chunk, OutputStream
from agent.run import Outputs

_TOO_LARGE = 413


class Uploader:
    """Takes chunks from both streams as they fall due, until the server has everything.

    It never gives up on a server that is away; it ends early when the server says that it will
    never take more, or when `given_up` is set. Then the output is discarded, so that a command
    that still writes is not held back.
    """

    def __init__(
        self,
        lease: Lease,
        client: Client,
        outputs: Outputs,
        given_up: threading.Event,
        *,
        on_cancel: Callable[[], None],
        on_lease_lost: Callable[[], None],
        log: Callable[[str], None],
    ) -> None:
        self._thread = threading.Thread(
            target=self._send_all, name=f"uploader {lease.execution_id}", daemon=True
        )
        self._lease = lease
        self._client = client
        self._outputs = outputs
        self._given_up = given_up
        self._on_cancel = on_cancel
        self._on_lease_lost = on_lease_lost
        self._log = log
        self._backoff = Backoff()
        self._refused = False

    def start(self) -> None:
        """Begin to send, in a thread of its own."""
        self._thread.start()

    def join(self) -> None:
        """Wait until all is sent, or never will be."""
        self._thread.join()

    def _send_all(self) -> None:
        try:
            while (due := self._next_due()) is not None:
                self._send(*due)
        finally:
            # Even after a fault of our own: nobody sends any more, so nobody must wait for it.
            if not self._is_done():
                self._outputs.discard()

    def send_missing(self) -> None:
        """After `join`: ask where the server stands with each stream, and send what it lacks."""
        for stream in self._outputs.both:
            self._send(stream, Chunk(stream.size, None, b""))
        self._send_all()

    def wake(self) -> None:
        """Notice that `given_up` was set."""
        with self._outputs.changed:
            self._outputs.changed.notify_all()

    def _next_due(self) -> tuple[OutputStream, Chunk] | None:
        with self._outputs.changed:
            while not (self._stopped() or self._is_done()):
                due = [
                    (moment, number)
                    for number, stream in enumerate(self._outputs.both)
                    if (moment := stream.due_at()) is not None
                ]
                if not due:
                    self._outputs.changed.wait()
                    continue
                moment, number = min(due)
                left = moment - time.monotonic()
                if left <= 0:
                    stream = self._outputs.both[number]
                    return stream, stream.next_chunk()
                self._outputs.changed.wait(left)
        return None

    def _send(self, stream: OutputStream, chunk: Chunk) -> None:
        try:
            next_offset, cancel_requested = self._lease.append(self._client, stream.name, chunk)
        except Unreachable:
            self._given_up.wait(self._backoff.next_delay())
        except Problem as problem:
            self._handle(problem, stream, chunk)
        else:
            self._backoff.reset()
            stream.acknowledge(next_offset)
            if cancel_requested:
                self._on_cancel()

    def _handle(self, problem: Problem, stream: OutputStream, chunk: Chunk) -> None:
        expected = problem.expected_offset
        if problem.passing:
            self._given_up.wait(self._backoff.next_delay(problem.retry_after))
        elif problem.code == LEASE_LOST_CODE:
            self._refused = True
            self._on_lease_lost()
        elif expected is not None and expected != chunk.offset:
            stream.acknowledge(expected)
        elif problem.status == _TOO_LARGE and chunk.data:
            self._log(
                f"{self._lease.execution_id}: the rest of {stream.name} is not kept: {problem}"
            )
            stream.discard()
        else:
            self._refused = True
            self._log(f"{self._lease.execution_id}: output is refused: {problem}")

    def _stopped(self) -> bool:
        return self._refused or self._given_up.is_set()

    def _is_done(self) -> bool:
        return all(stream.is_done() for stream in self._outputs.both)
