"""What an erasure leaves of the rules: reports are still compared, later sentences can go too."""

import pytest
from msgspec.structs import replace

from domain import errors, events
from domain.execution_rules import decide
from tests.unit.domain.histories import (
    COMMANDS,
    CREATED,
    ERASED,
    LATE,
    LOST,
    STARTED,
    complete,
    ending,
    given,
)


def test_a_report_that_is_repeated_after_its_output_was_erased_is_the_same() -> None:
    """What was hashed then cannot be hashed again; of another exit code it is another report."""
    kept = events.StreamDigest(written_bytes=3, kept_bytes=3, kept_sha256="ab" * 32)
    told = events.Completed(replace(ending(), stdout=kept))
    state = given(CREATED, STARTED, told, ERASED)

    assert decide(state, complete()) == ()
    with pytest.raises(errors.AlreadyFinal):
        decide(state, complete(ending=ending(3)))


def test_a_sentence_that_comes_after_an_erasure_can_be_erased_too() -> None:
    """Messages that were erased are those before; the output stays erased."""
    again = decide(given(CREATED, STARTED, LOST, ERASED, LATE), COMMANDS["erase"])

    assert [e.event for e in again] == [events.BodiesErased("secret", messages=True)]
