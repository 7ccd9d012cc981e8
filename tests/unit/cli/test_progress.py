"""How far a long command is, told on a terminal and elsewhere."""

import itertools

import pytest

from cli.progress import Progress


def test_elsewhere_it_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal each step is told at its beginning and every ten seconds, with rate."""
    clock = itertools.count(0.0, 6.0)
    monkeypatch.setattr("cli.progress.time.monotonic", lambda: next(clock))
    told = Progress()

    for done in (0, 600, 1200, 1800):
        told("folding", done, 2400)
    told.close()

    assert capsys.readouterr().err.splitlines() == [
        "folding [" + "." * 20 + "] 0 of 2,400 events, 0/s",
        "folding [" + "#" * 10 + "." * 10 + "] 1,200 of 2,400 events, 100/s, 12.0 s left",
    ]


def test_on_a_terminal_it_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal the line is written over itself, and gone at the end."""
    monkeypatch.setattr("cli.progress.sys.stderr.isatty", lambda: True)
    told = Progress()

    told("indexes", 0, 0)
    told.close()

    assert capsys.readouterr().err == "\rindexes …\r         \r"
