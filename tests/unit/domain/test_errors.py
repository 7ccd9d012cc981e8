"""A refusal is a sentence that a person can act on."""

import string

import pytest

from domain import errors

REFUSALS: list[type[errors.Refusal]] = sorted(
    (
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.Refusal)
    ),
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", REFUSALS, ids=lambda kind: kind.__name__)
def test_each_refusal_reads_as_a_sentence(kind: type[errors.Refusal]) -> None:
    """The docstring, filled with the facts, is one line that begins and ends as a sentence."""
    names = {name for _, name, _, _ in string.Formatter().parse(kind.__doc__ or "") if name}

    sentence = str(kind(**dict.fromkeys(names, "pending")))

    assert "\n" not in sentence
    assert "  " not in sentence
    assert "{" not in sentence
    assert sentence[0].isupper()
    assert sentence.endswith(".")


def test_refusals_keep_their_facts() -> None:
    """The facts stay readable for programs."""
    assert errors.NotRetryable(status="pending").facts == {"status": "pending"}


def test_codes_are_those_of_the_contract() -> None:
    """Programs see one of these codes and no other."""
    assert {kind.code for kind in REFUSALS} == {
        "conflict",
        "resource_not_found",
        "lease_lost",
        "kept_as_late_outcome",
        "idempotency_mismatch",
    }
