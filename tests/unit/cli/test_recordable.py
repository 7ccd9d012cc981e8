"""Rules of what is recorded of a run that a ledger does not take as it is."""

import re
import shutil

from hypothesis import given
from hypothesis import strategies as st

from cli.recordable import (
    COMMAND_CHARACTERS_MAX,
    NAME_CHARACTERS_MAX,
    WORD_CHARACTERS_MAX,
    recordable_command,
    recordable_name,
)

_TAKEN = re.compile(r"(?! *\Z)[^\x00-\x1f\x7f]{1,200}\Z")  # as the server has it


@given(
    st.text() | st.text(" \n") | st.text(min_size=NAME_CHARACTERS_MAX).map(lambda text: text * 2)
)
def test_every_job_has_a_name_that_a_ledger_takes(name: str) -> None:
    """What is fine stays as it is; what is not is changed, and that is said."""
    told: list[str] = []
    recorded = recordable_name(name, told.append)
    assert _TAKEN.match(recorded)
    assert (recorded == name) == (told == [])


def test_long_names_that_differ_at_their_end_stay_apart() -> None:
    """Two jobs do not become one by what is cut off."""
    names = [f"{'x' * NAME_CHARACTERS_MAX}{end}" for end in "ab"]
    assert len({recordable_name(name, lambda _: None) for name in names}) == 2


def test_a_command_that_fits_is_recorded_as_it_is() -> None:
    """Up to the longest that a ledger takes."""
    told: list[str] = []
    words = ["sh", "-c", "x" * WORD_CHARACTERS_MAX, ""]
    assert recordable_command(words, told.append) == words
    assert told == []


def test_a_command_that_does_not_fit_is_named_and_cannot_be_run() -> None:
    """A retry of its beginning might do harm: the first word is the name of no program."""
    for words in (
        ["rm", "-rf", "/srv/" + "x" * WORD_CHARACTERS_MAX],
        ["echo", *["x" * WORD_CHARACTERS_MAX] * (COMMAND_CHARACTERS_MAX // WORD_CHARACTERS_MAX)],
    ):
        told: list[str] = []
        first, beginning = recordable_command(words, told.append)
        assert "SHA-256" in first
        assert "/" not in first
        assert shutil.which(first) is None
        assert " ".join(words).startswith(beginning)
        assert "cannot be run again" in told[0]


def test_a_command_of_other_bytes_is_named_and_cannot_be_run() -> None:
    """What is no UTF-8 stands as text: to run that would be to run another command."""
    told: list[str] = []
    first, shown = recordable_command(["rm", "a\ufffdb"], told.append, is_exact=False)
    assert shutil.which(first) is None
    assert shown == "rm a\ufffdb"
    assert "cannot be run again" in told[0]
