"""The line that shows how far a long command has come."""

import io

import pytest

from cli.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written over itself at most ten times a second, and wiped away at the end."""
    monkeypatch.setattr("sys.stderr", terminal := _Terminal())
    now = 100.0
    with Progress(clock=lambda: now) as progress:
        progress("folding", 0, 1000)
        now = 102.0
        progress("folding", 500, 1000)
        now = 102.05
        progress("folding", 600, 1000)
    first, shown, wiped, *_ = terminal.getvalue().lstrip("\r").split("\r")
    assert first.startswith("folding [....................] 0 % of 1,000 events")
    assert shown == "folding [##########..........] 50 % of 1,000 events, 250 events/s, 2.0 s left"
    assert wiped.strip() == ""


def test_without_a_total_only_what_is_known_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are shown in MiB."""
    monkeypatch.setattr("sys.stderr", terminal := _Terminal())
    progress = Progress("bytes", clock=lambda: 0.0)
    progress("importing", 3 << 20, 0)
    assert terminal.getvalue().strip() == "importing … 3.0 MiB"


def test_where_no_terminal_is_a_line_comes_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """A log is no place for a bar that moves."""
    now = 100.0
    with Progress(clock=lambda: now) as progress:
        for later in (0.0, 1.0, 10.0):
            now += later
            progress("folding", 5, 10)
    assert len(capsys.readouterr().err.splitlines()) == 2
