"""What verify says of what it finds."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from domain import ids
from projections.findings import SHOWN_MAX, Finding, Findings, said

EXECUTION = UUID("01932c07-209a-7000-8000-0000000000aa")
OTHER = UUID("6b7d1f0e-33a6-4b0f-9d38-9a8f6a0a6c11")


def test_an_execution_is_named_as_people_know_it() -> None:
    """Given a finding with the UUID of an execution, then it has the id that `audit` takes."""
    found = Findings()
    found.add("read model", f"executions_1 {EXECUTION}", f"retry_of is {EXECUTION}")
    shown = ids.to_text(ids.EXECUTION, EXECUTION)
    finding = Finding("read model", f"executions_1 {shown}", f"retry_of is {shown}")
    assert found.shown["read model"] == [finding]


def test_what_is_no_execution_keeps_its_name() -> None:
    """Given the UUID of a ledger or a job's stream, then it stays as it is."""
    found = Findings()
    found.add("ledger", 7, f"belongs to the ledger {OTHER}, not to this one")
    (finding,) = found.shown["ledger"]
    assert finding.detail == f"belongs to the ledger {OTHER}, not to this one"


def test_more_than_are_shown_are_counted() -> None:
    """Given more findings of a kind than are kept word for word, then all of them count."""
    found = Findings()
    for position in range(SHOWN_MAX + 5):
        found.add("position", position, "is wrong")
    assert found.counts == {"position": SHOWN_MAX + 5}
    assert len(found.shown["position"]) == SHOWN_MAX


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00+00:00"),
        (OTHER, str(OTHER)),
        ("success", "'success'"),
        (None, "None"),
        ([1, 2], "[1, 2]"),
    ],
)
def test_values_are_said_in_words(value: object, words: str) -> None:
    """Given what a column holds, then times and ids are said without Python's names for them."""
    assert said(value) == words
