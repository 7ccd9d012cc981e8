"""How far a long command has come: a line on standard error that is written over."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

_BAR = 24
_EVERY_SECONDS = 0.2
_MEBIBYTE = 1 << 20


class Progress:
    """A bar with rate and time left; says nothing where no terminal shows it.

    Args:
        what: What is counted, such as `events`; `bytes` are shown in MiB.
        total: How many there are; 0 if nobody knows.
        clock: Seconds that never go back.
    """

    def __init__(self, what: str, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._total = total
        self._clock = clock
        self._shown = sys.stderr.isatty()
        self._began = clock()
        self._next = self._began
        self._done = 0

    def __call__(self, done: int) -> None:
        """Say that so many are done."""
        self._done = done
        if self._shown and self._clock() >= self._next:
            self._next = self._clock() + _EVERY_SECONDS
            print(f"\r{self.line()}\x1b[K", end="", file=sys.stderr, flush=True)

    def line(self) -> str:
        """Return what is shown."""
        seconds = max(self._clock() - self._began, 0.001)
        rate = self._done / seconds
        per = f"{self._count(rate)} MiB/s" if self._what == "bytes" else f"{self._count(rate)}/s"
        said = f"{self._count(self._done)} {self._unit}, {per}"
        if not self._total:
            return said
        part = min(1.0, self._done / self._total)
        full = int(part * _BAR)
        left = "" if not rate else f", {max(0, self._total - self._done) / rate:.0f} s left"
        return f"[{'#' * full}{'.' * (_BAR - full)}] {part:4.0%}  {said}{left}"

    @property
    def _unit(self) -> str:
        return "MiB" if self._what == "bytes" else self._what

    def _count(self, number: float) -> str:
        return f"{number / _MEBIBYTE:,.1f}" if self._what == "bytes" else f"{number:,.0f}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
