"""The line that shows how far a long command has come."""

import io

import pytest

from cli.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written over itself at most five times a second, and wiped away at the end."""
    terminal, now = _Terminal(), 100.0
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress("events", 1000, lambda: now) as progress:
        now = 102.0
        progress(500)
        progress(501)
        now = 102.1
        progress(600)
    shown = "[############............]  50%  500 events, 250/s, 2 s left"
    assert terminal.getvalue() == f"\r{shown}\x1b[K\r\x1b[K"


def test_without_a_total_only_what_is_known_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are shown in MiB."""
    monkeypatch.setattr("sys.stderr", _Terminal())
    now = 0.0
    progress = Progress("bytes", 0, lambda: now)
    now = 2.0
    progress(3 << 20)
    assert progress.line() == "3.0 MiB, 1.5 MiB/s"


def test_where_no_terminal_is_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A log is no place for a bar."""
    with Progress("events", 10) as progress:
        progress(5)
    assert capsys.readouterr().err == ""
