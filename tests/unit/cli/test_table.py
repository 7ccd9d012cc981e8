"""Rules of what people are shown."""

import pytest

from cli.table import cell, duration_cell, shown_output, table, time_cell


def test_columns_are_aligned() -> None:
    """Each column is as wide as its widest cell."""
    text = table(("ID", "JOB"), [("1", "nightly"), ("22", "x")], elastic=1)
    assert text == "ID  JOB\n1   nightly\n22  x"


def test_the_elastic_column_gives_way() -> None:
    """On a narrow terminal one column is cut, with a mark."""
    text = table(("ID", "JOB", "S"), [("1", "a-very-long-name", "ok")], elastic=1, width=16)
    assert text == "ID  JOB       S\n1   a-very-…  ok"


def test_no_line_is_wider_than_the_terminal() -> None:
    """When one column cannot give enough, the line itself is cut."""
    text = table(("ID", "JOB"), [("x" * 50, "y" * 50)], elastic=1, width=20)
    assert max(len(line) for line in text.splitlines()) == 20


def test_nothing_shown_acts_on_the_terminal() -> None:
    """Escape sequences are neutralised, lines and tabs stay."""
    assert shown_output("a\x1b[2Jb\r\n\tc\x9b\0\ud800") == "a␛[2Jb\n\tc␛[␀?"
    assert shown_output("\x1b[31mred") == "␛[31mred"
    assert cell("two\nlines\x1b[31m") == "two lines␛[31m"


@pytest.mark.parametrize("value", [None, ""])
def test_what_is_absent_is_a_dash(value: object) -> None:
    """An empty cell is seen."""
    assert cell(value) == "-"
    assert time_cell(value) == "-"


def test_times_are_short_and_utc() -> None:
    """Milliseconds and the zone letter are left out."""
    assert time_cell("2026-01-31T12:00:01.123Z") == "2026-01-31 12:00:01"


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [(7, "7 ms"), (1500, "1.5 s"), (61_000, "1 min 01 s"), (7_260_000, "2 h 01 min")],
)
def test_durations_have_the_unit_that_suits(milliseconds: int, expected: str) -> None:
    """People read seconds for seconds and hours for hours."""
    assert duration_cell(milliseconds) == expected
