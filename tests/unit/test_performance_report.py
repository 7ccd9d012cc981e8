"""Rules of the report that is made of what the benchmarks found."""

from pathlib import Path

import msgspec
import pytest

from bench import report
from bench.measure import Measure, Ratio, Result, here, paired, write_result

HERE = here(["some 1.0"])


def found(*ratios: Ratio, name: str = "lists") -> Result:
    return Result(name, "What was run.", HERE, [Measure("ours", "ms", [3, 1, 2])], list(ratios))


def told(*results: Result, notes: str = "# Performance\n", trial: bool = False) -> str:
    return report.markdown(results, report.sections(notes), trial=trial, plots="plots")


def losses(text: str) -> str:
    return text.partition(f"## {report.LOSING}\n")[2].partition("\n## ")[0]


def test_pairs_of_a_round_are_compared() -> None:
    """A ratio has a value a round: that of what was measured in the same one."""
    assert paired("a / b", [2.0, 9.0], [1.0, 3.0]).values == [2.0, 3.0]


@pytest.mark.parametrize(
    ("values", "at_least", "verdict"),
    [
        ([1.9, 2.0, 0.1], True, "**missed by 5%**"),
        ([9.0, 2.0, 0.1], True, "reached"),
        ([9.0, 2.2, 0.1], False, "**missed by 10%**"),
        ([9.0, 2.0, 0.1], False, "reached"),
    ],
)
def test_the_median_is_held_against_the_goal(
    values: list[float],
    at_least: bool,  # noqa: FBT001 - a case
    verdict: str,
) -> None:
    """Reached, or by which part of the goal it was missed, whichever side is the good one."""
    assert report.verdict(Ratio("a / b", values, goal=2, at_least=at_least)) == verdict


def test_a_ratio_without_a_goal_is_not_judged() -> None:
    """There is nothing to reach."""
    assert report.verdict(Ratio("a / b", [0.5])) == ""


def test_missed_goals_and_faster_peers_are_named_where_we_lose() -> None:
    """What is reached is not."""
    text = told(
        found(
            Ratio("ours / missed", [0.5], goal=2),
            Ratio("ours / faster", [0.25]),
            Ratio("ours / reached", [3], goal=2),
            Ratio("ours / slower", [4]),
        )
    )

    named = [word for word in ("missed", "faster", "reached", "slower") if word in losses(text)]
    assert named == ["missed", "faster"]


def test_nothing_is_lost_when_all_is_reached() -> None:
    """The section says so, instead of being empty."""
    assert "Nowhere" in losses(told(found(Ratio("ours / theirs", [3], goal=2))))


def test_a_table_has_the_spread_and_the_number_of_values() -> None:
    """Minimum, median and maximum, whatever the order of the rounds."""
    assert "| ours | 1.00 | 2.00 | 3.00 | 3 |" in told(found())


def test_notes_stand_below_their_titles() -> None:
    """The head comes first, and a note without its result is left out."""
    notes = "# Head\n\n## Where we lose\n\nBecause.\n\n## Lists\n\nLists!\n\n## Unknown\n\nNo.\n"

    text = told(found(), notes=notes)

    assert text.startswith("# Head\n")
    assert "Because." in losses(text)
    assert "Lists!" in text.partition("## Lists")[2]
    assert "No." not in text


def test_a_trial_says_that_its_figures_are_of_no_use() -> None:
    """And nothing else does."""
    assert "of no use" in told(found(), trial=True)
    assert "of no use" not in told(found())


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Through its file, in a folder that is made for it."""
    path = tmp_path / "results" / "one.json"
    written = found(Ratio("a / b", [1.5], goal=2, at_least=False))

    write_result(
        path,
        name=written.name,
        what=written.what,
        measures=written.measures,
        ratios=written.ratios,
    )

    read = msgspec.json.decode(path.read_bytes(), type=Result)
    read.machine = written.machine
    assert written == read


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.01234, "0.0123"), (1.5, "1.50"), (99.96, "100.0"), (12345.6, "12,346")],
)
def test_a_figure_has_the_digits_that_count(value: float, shown: str) -> None:
    """Three of them, and separators of thousands."""
    assert report.figure(value) == shown
