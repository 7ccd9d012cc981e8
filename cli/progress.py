"""How far a long command is: one line that moves on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from cli.table import duration_cell, terminal_width

_BAR = 20
_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 10.0
_MEBIBYTE = 1 << 20


class Progress:
    """Tells on standard error, so that standard output is the result alone.

    Call it with what is being done, how much of it is done, and of how much in all (0: unknown).

    Args:
        unit: What is counted, such as `events`; `bytes` are shown in MiB.
        quiet: Tell nothing.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        unit: str = "events",
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._unit = unit
        self._quiet = quiet
        self._clock = clock
        self._moves = sys.stderr.isatty()
        self._step = ""
        self._began = self._told = clock()
        self._width = 0

    def __call__(self, step: str, done: int, total: int) -> None:
        """Take in how far it is; tell of it if it is time to."""
        now = self._clock()
        if step != self._step:
            self._step, self._began, self._told = step, now, now - _LINE_SECONDS
        pause = _REDRAW_SECONDS if self._moves else _LINE_SECONDS
        if self._quiet or now - self._told < pause:
            return
        self._told = now
        self._write(self._line(done, total, now - self._began))

    def close(self) -> None:
        """Leave the line as if it had never been there."""
        if self._moves and self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _line(self, done: int, total: int, seconds: float) -> str:
        if total <= 0:
            return f"{self._step} … {self._count(done)}" if done else f"{self._step} …"
        filled = min(_BAR, _BAR * done // total)
        bar = "#" * filled + "." * (_BAR - filled)
        rate = done / seconds if seconds > 0 else 0.0
        part = f"{done * 100 // total} % of {self._count(total)}"
        if not rate:
            return f"{self._step} [{bar}] {part}"
        left = duration_cell(1000 * (total - done) / rate)
        return f"{self._step} [{bar}] {part}, {self._count(rate)}/s, {left} left"

    def _count(self, number: float) -> str:
        if self._unit == "bytes":
            return f"{number / _MEBIBYTE:,.1f} MiB"
        return f"{number:,.0f} {self._unit}"

    def _write(self, line: str) -> None:
        if not self._moves:
            print(line, file=sys.stderr, flush=True)
            return
        line = line[: (terminal_width() or 80) - 1]
        sys.stderr.write("\r" + line.ljust(self._width))
        sys.stderr.flush()
        self._width = len(line)
