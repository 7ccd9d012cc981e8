"""When things happened, if that is told later; and what never happened at all."""

from datetime import timedelta
from typing import Final

import pytest
from msgspec.structs import replace

from domain.execution import evolve
from domain.execution_rules import decide
from tests.unit.domain.histories import COMMANDS, HISTORIES, LATE, NOON, complete, create, given

REPORTS: Final = ("complete", "complete as failed", "complete as timed out", "complete as canceled")


def test_what_never_began_failed_for_that_reason() -> None:
    """Not started is a failure without an ending, seen by the server."""
    state = given(*HISTORIES["not started"])

    assert state is not None
    assert (state.status, state.failure_reason, state.ending) == ("failed", "not_started", None)
    assert (state.observed_by, state.started_at) == ("server", None)


@pytest.mark.parametrize("name", ["lost", "failed", "canceled while pending", "succeeded"])
def test_other_ends_keep_their_reasons(name: str) -> None:
    """The reason is that of the ending; what was canceled before it began has none."""
    state = given(*HISTORIES[name])

    assert state is not None
    reasons = {"lost": "agent_lost", "failed": "exit_code"}
    assert state.failure_reason == reasons.get(name)


def test_what_is_told_of_late_happened_when_it_is_said_to_have() -> None:
    """Created stands at the command's time, Started at the claimed one; no time is one anew."""
    began = NOON + timedelta(seconds=2)
    asked = create(claim_agent_id="host-1", started_at=began)

    first, second = decide(None, asked)

    assert (first.at, second.at) == (NOON, began)
    state = evolve(evolve(None, first), second)
    assert state is not None
    assert state.started_at == began
    other = create(claim_agent_id="host-1", started_at=began + timedelta(seconds=5))
    assert decide(state, other) == ()


@pytest.mark.parametrize("asked", REPORTS)
def test_an_end_that_is_told_of_late_happened_when_it_is_said_to_have(asked: str) -> None:
    """Whatever the outcome, its event stands at the claimed time."""
    ended = NOON + timedelta(minutes=5)

    (envelope,) = decide(given(*HISTORIES["canceling"]), replace(COMMANDS[asked], ended_at=ended))

    assert envelope.at == ended


def test_a_late_outcome_is_reported_when_it_is_reported() -> None:
    """After a final status the claimed end changes nothing: what happens now is the report."""
    (envelope,) = decide(given(*HISTORIES["lost"]), complete(ended_at=NOON - timedelta(minutes=5)))

    assert (envelope.event, envelope.at) == (LATE, NOON)
