"""The record of one `exec`: asked for before the command starts, and if need be while it runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from agent.backoff import Backoff
from agent.client import Client, Problem, Unreachable
from agent.lease import EXECUTIONS, Lease
from agent.process import CANCELED, Ending
from agent.recording import Recording
from agent.run import Outputs, Run

CREATE_SECONDS = 5.0
FINISH_SECONDS = 10.0
_SERVER_ERROR = 500


class NotRecordedError(Exception):
    """This run has no record and gets none; the message says why."""


class UnfinishedRecordError(Exception):
    """This run has a record, whose end the server did not take; the message says why."""


class ExecRecord:
    """An execution that is created with our lease on it, and its recording.

    If the answer to the create is lost, the execution may be there all the same, and would be
    held for lost while its command does well. So the create is repeated, with the key that
    makes it the same one, until its answer comes or the caller has waited long enough.
    """

    def __init__(
        self, client: Client, body: Mapping[str, Any], running: Run, outputs: Outputs
    ) -> None:
        self._client = client
        self._body = body
        self._running = running
        self._outputs = outputs
        self._key = os.urandom(16).hex()
        self._recording: Recording | None = None
        self._repeating: threading.Thread | None = None
        self._over = threading.Event()
        self._sentence = ""

    def open(self) -> None:
        """Ask for the record; returns as soon as the command may start.

        Raises:
            NotRecordedError: There is none, for certain.
        """
        try:
            self._attach(self._ask())
        except (Unreachable, Problem) as error:
            if not _may_be_there(error):
                raise NotRecordedError(str(error)) from error
            self._sentence = str(error)
            self._repeating = threading.Thread(target=self._repeat, name="create", daemon=True)
            self._repeating.start()

    def finish(self, ending: Ending) -> None:
        """Deliver the rest; our caller waits for the exit code, so this takes a bounded time.

        Raises:
            NotRecordedError: There is no record.
            UnfinishedRecordError: It lacks its end.
        """
        timer = threading.Timer(FINISH_SECONDS, self._give_up)
        timer.daemon = True
        timer.start()
        if self._repeating is not None:
            self._repeating.join()
        if self._recording is None:
            raise NotRecordedError(self._sentence)
        sentence = self._recording.finish(ending)
        if sentence is not None:
            raise UnfinishedRecordError(sentence)

    def _ask(self) -> Lease:
        answer = self._client.post(
            EXECUTIONS,
            self._body,
            headers={"Idempotency-Key": self._key},
            answer_seconds=CREATE_SECONDS,
        )
        try:
            return Lease.from_answer(answer.json())
        except (Unreachable, LookupError, TypeError, AttributeError) as error:
            raise NotRecordedError(
                f"the answer of {self._client.url} is not one of Cronledger"
            ) from error

    def _repeat(self) -> None:
        backoff = Backoff()
        delay = backoff.next_delay()
        while not self._over.wait(delay):
            try:
                lease = self._ask()
            except Unreachable as error:
                delay = backoff.next_delay()
                if not self._over.is_set():  # else it is we who cut it
                    self._sentence = str(error)
            except Problem as problem:
                delay = backoff.next_delay(problem.retry_after)
                self._sentence = str(problem)
                if not problem.passing:
                    break
            except NotRecordedError as error:
                self._sentence = str(error)
                break
            else:
                self._attach(lease)
                return
        self._outputs.discard()

    def _attach(self, lease: Lease) -> None:
        recording = Recording(
            lease,
            self._client,
            self._outputs,
            on_cancel=lambda: self._running.end(CANCELED),
            on_lease_lost=_ignore,  # the command is the caller's, not the ledger's
            log=_ignore_line,
        )
        recording.start()
        self._recording = recording
        if self._over.is_set():  # `_give_up` may have come before there was a recording
            recording.give_up()

    def _give_up(self) -> None:
        self._over.set()
        self._client.abort()
        if self._recording is not None:
            self._recording.give_up()


def _may_be_there(error: Unreachable | Problem) -> bool:
    """True if what was asked for may have been done: no answer, or a broken server's."""
    return error.sent if isinstance(error, Unreachable) else error.status >= _SERVER_ERROR


def _ignore() -> None:
    pass


def _ignore_line(_line: str) -> None:
    pass
