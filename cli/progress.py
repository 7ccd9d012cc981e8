"""How far a long command is: one line that moves on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import math
import sys
import time

from cli.table import duration_cell, terminal_width

_BAR = 20
_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 10.0


class Progress:
    """Tells on standard error, so that standard output is the result alone.

    Call it with what is being done, how much of it is done, and of how much in all (0: unknown).
    """

    def __init__(self, unit: str = "events", *, quiet: bool = False) -> None:
        self._unit = unit
        self._quiet = quiet
        self._moves = sys.stderr.isatty()
        self._step = ""
        self._began = self._told = time.monotonic()
        self._width = 0

    def __call__(self, step: str, done: int, total: int) -> None:
        """Take in how far it is; tell of it if it is time to."""
        now = time.monotonic()
        if step != self._step:
            self._step, self._began, self._told = step, now, -math.inf
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

    def _line(self, done: int, total: int, seconds: float) -> str:
        if total <= 0:
            return f"{self._step} …"
        filled = min(_BAR, _BAR * done // total)
        bar = "#" * filled + "." * (_BAR - filled)
        rate = done / seconds if seconds > 0 else 0.0
        left = f", {duration_cell(1000 * (total - done) / rate)} left" if rate else ""
        return f"{self._step} [{bar}] {done:,} of {total:,} {self._unit}, {rate:,.0f}/s{left}"

    def _write(self, line: str) -> None:
        if not self._moves:
            print(line, file=sys.stderr, flush=True)
            return
        line = line[: (terminal_width() or 80) - 1]
        sys.stderr.write("\r" + line.ljust(self._width))
        sys.stderr.flush()
        self._width = len(line)
