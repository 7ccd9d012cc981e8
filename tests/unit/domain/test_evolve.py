"""Folding never raises: what happened has happened."""

import contextlib
from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import errors, events
from domain.events import Ending, Envelope, Event, StreamDigest
from domain.execution import Execution, evolve
from domain.execution_rules import decide
from store import mapper
from tests.unit.domain.histories import COMMANDS, ONE

_times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds of aware times
_ids = st.uuids()
_texts = st.text(max_size=8)
_counts = st.integers(0, 2**53)
_bodies = st.builds(events.BodyDigest, _counts, _texts)
_streams = st.builds(
    StreamDigest,
    _counts,
    _counts,
    _texts,
    st.none() | st.tuples(_counts, _counts),
    st.none() | _texts,
)
_endings = st.builds(
    Ending,
    _counts,
    _streams,
    _streams,
    st.none() | st.integers(-(2**31), 2**31 - 1),
    st.none() | st.integers(1, 255),
    st.none() | st.sampled_from(get_args(events.FailureReason)),
    st.none() | _bodies,
    st.booleans(),
)
_observers = st.sampled_from(get_args(events.Observer))
_events: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        events.Created,
        _texts,
        _bodies,
        st.sampled_from(get_args(events.TriggeredBy)),
        st.none() | _counts,
        _counts,
        _ids,
        st.none() | _ids,
        st.none() | _times,
        st.none() | _texts,
        st.lists(_texts, max_size=3).map(tuple),
        st.none() | _counts,
    ),
    st.builds(events.Started, _texts),
    st.builds(events.Completed, _endings),
    st.builds(events.TimedOut, _observers, st.booleans(), _endings),
    st.just(events.CancelRequested()),
    st.builds(events.Canceled, _observers, st.booleans(), st.none() | _endings),
    st.builds(events.Lost, _observers, st.booleans(), _endings),
    st.builds(events.OutcomeReportedLate, st.sampled_from(get_args(events.Outcome)), _endings),
    st.just(events.NotStarted()),
    st.builds(events.Retried, _ids),
)
_envelopes = st.builds(
    Envelope,
    originator_id=st.just(ONE),
    originator_version=st.integers(1, 2**31 - 1),
    at=_times,
    actor=_texts,
    command_id=_ids,
    correlation_id=_ids,
    event=_events,
)


@settings(max_examples=150, deadline=None)
@given(history=st.lists(_envelopes, max_size=8), asked=st.sampled_from(sorted(COMMANDS)))
def test_any_history_folds_and_is_judged(history: list[Envelope], asked: str) -> None:
    """Events in any order fold without an error, and a command after them is decided or refused."""
    state: Execution | None = None
    for envelope in history:
        after = evolve(state, envelope)
        if after is not None:
            assert after.version == envelope.originator_version
        state = after
    with contextlib.suppress(errors.Refusal):
        assert all(isinstance(decided, Envelope) for decided in decide(state, COMMANDS[asked]))


@settings(max_examples=150, deadline=None)
@given(event=_events)
def test_any_event_is_read_back_as_it_was_written(event: Event) -> None:
    """What is stored of an event is all of it."""
    event_type, schema_version, payload = mapper.encode(event)

    read = mapper.decode(event_type, schema_version, payload)

    assert read == event
    assert mapper.encode(read) == (event_type, schema_version, payload)


def test_each_event_has_a_name_of_its_own() -> None:
    """No two events are stored under one name; a name says of what, and what happened."""
    tags = [str(kind.__struct_config__.tag) for kind in get_args(Event)]

    assert len(set(tags)) == len(tags)
    assert all(
        tag.startswith(("execution.", "job.", "schedule.")) and tag.islower() for tag in tags
    )
    assert set(mapper.SCHEMA_VERSIONS) == set(tags)


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_events_cannot_be_changed(kind: type[Event]) -> None:
    """An event is frozen, so that nobody changes what happened on its way to the disk."""
    assert kind.__struct_config__.frozen
