"""Reads one output pipe of a command until its end, or until the command is long gone."""

from __future__ import annotations

import fcntl
import os
import select
import sys
import time

from agent import threads
from agent.kept_output import KeptWriter

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from typing import IO

READ_BYTES = 64 * 1024
DRAIN_SECONDS = 0.5
_TICK_MS = 100  # how late it may notice that only a background child holds the pipe open


class PipeReader:
    """Moves bytes from a pipe to a stream and, for `exec`, to a descriptor of our own as well.

    A child left in the background may keep the pipe open for ever. So after the command's end,
    reading stops once what stood in the pipe at that moment is read and a short time is over; such
    a child then writes into a closed pipe.
    """

    def __init__(self, pipe: IO[bytes], stream: KeptWriter, copy_to: int | None = None) -> None:
        self._thread = threads.Thread(self._run)
        self._pipe = pipe
        self._stream = stream
        self._copy_to = copy_to
        self._deadline: float | None = None
        self._owed = 0  # bytes that were in the pipe when the command had ended

    def start(self) -> None:
        """Read, in a thread of its own, until nothing more is to come; then close the stream."""
        self._thread.start()

    def join(self) -> None:
        """Wait until the stream is closed."""
        self._thread.join()

    def _run(self) -> None:
        try:
            self._read_all()
        except OSError:
            # Nobody takes the copy any more. Closing the pipe tells the command so, as it would
            # have learned without us between.
            pass
        finally:
            self._pipe.close()
            self._stream.close()

    def expect_end(self, seconds: float = DRAIN_SECONDS) -> None:
        """Say that the command has ended: the thread ends when its output is read."""
        self._owed = _bytes_in(self._pipe)
        self._deadline = time.monotonic() + seconds

    def _read_all(self) -> None:
        descriptor = self._pipe.fileno()
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        while True:
            over = self._deadline is not None and time.monotonic() >= self._deadline
            if poller.poll(0 if over else _TICK_MS):
                data = os.read(descriptor, READ_BYTES)
                if not data or (over and self._owed <= 0):
                    return
                self._take(data)
            elif over:
                return

    def _take(self, data: bytes) -> None:
        if self._deadline is not None:
            self._owed -= len(data)
        self._stream.write(data)
        if self._copy_to is not None:
            _write_all(self._copy_to, data)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # our caller set its descriptor to non-blocking: wait for room
            poller = select.poll()
            poller.register(descriptor, select.POLLOUT)
            poller.poll()


def _bytes_in(pipe: IO[bytes]) -> int:
    if pipe.closed:
        return 0  # it was read to its end
    import termios  # noqa: PLC0415 - seldom needed: most commands close their output as they end

    try:
        answer = fcntl.ioctl(pipe.fileno(), termios.FIONREAD, b"\0" * 4)
    except (OSError, ValueError):
        return 0  # closed just now
    return int.from_bytes(answer, sys.byteorder)
