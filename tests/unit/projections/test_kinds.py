"""What verify calls a legal path is what the rules that were written apart from it allow."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from domain import events
from domain.events import BodyDigest, Ending, Event, Happened, StreamDigest
from domain.streams import State, evolve
from projections.kinds import KINDS, kind_of
from store import mapper
from tests.support import naive

ONE: Final = UUID(int=1)
AT: Final = datetime(2026, 1, 31, tzinfo=UTC)
QUIET: Final = StreamDigest(0, 0, "")
GOOD: Final = Ending(1, QUIET, QUIET, exit_code=0)
BAD: Final = Ending(1, QUIET, QUIET, exit_code=3, failure_reason="exit_code")
CREATED: Final = events.Created("job", BodyDigest(1, "00"), "manual", 300, 1, ONE)
EVENTS: Final[tuple[Event, ...]] = (
    CREATED,
    events.Created("job", BodyDigest(1, "00"), "manual", 1, 1, ONE, start_deadline_seconds=9),
    events.Started("agent"),
    events.Completed(GOOD),
    events.Completed(BAD),
    events.TimedOut("agent", process_ended=True, ending=BAD),
    events.TimedOut("server", process_ended=False, ending=BAD),
    events.CancelRequested(),
    events.Canceled("agent", process_ended=True, ending=BAD),
    events.Canceled("server", process_ended=False, ending=BAD),
    events.Canceled("server", process_ended=True),
    events.Lost("server", process_ended=False, ending=BAD),
    events.NotStarted(),
    events.OutcomeReportedLate("exited", GOOD),
    events.Retried(UUID(int=2)),
)


def _naive(history: list[Event]) -> bool:
    """Whether the rules in the tests allow all of a history."""
    told = []
    for version, event in enumerate(history, 1):
        kind, _, payload = mapper.encode(event)
        told.append({"type": kind, "payload": payload, "version": version})
    return naive.wrong_steps(told) == []


def _is_ambiguous(history: list[Event]) -> bool:
    """The naive rules tell a cancel of a pending execution by its place alone."""
    last = history[-1]
    return isinstance(last, events.Canceled) and last.observed_by == "server"


def test_paths_are_those_of_the_other_rules() -> None:
    """After every legal beginning, each event is allowed by verify if it is by the naive rules."""
    kind, compared = KINDS[kind_of("execution.created")], 0
    beginnings: list[list[Event]] = [[]]
    while beginnings:
        beginning = beginnings.pop()
        state: State | None = None
        for version, event in enumerate(beginning, 1):
            state = evolve(state, Happened(ONE, version, AT, ONE, event))
        for event in EVENTS:
            happened = Happened(ONE, len(beginning) + 1, AT, ONE, event)
            is_allowed = kind.complaint(state, happened) is None
            history = [*beginning, event]
            if not _is_ambiguous(history):
                assert is_allowed == _naive(history), history
                compared += 1
            if is_allowed and len(history) < 6:
                beginnings.append(history)
    assert compared > 500


def test_a_cancel_by_the_server_fits_where_the_execution_was() -> None:
    """While pending it has no ending, while running it needs a request and has one."""
    kind = KINDS["execution"]
    pending = evolve(None, Happened(ONE, 1, AT, ONE, CREATED))
    running = evolve(pending, Happened(ONE, 2, AT, ONE, events.Started("agent")))
    asked = evolve(running, Happened(ONE, 3, AT, ONE, events.CancelRequested()))
    never_began = Happened(ONE, 4, AT, ONE, EVENTS[10])
    given_up = Happened(ONE, 4, AT, ONE, EVENTS[9])

    assert kind.complaint(pending, never_began) is None
    assert kind.complaint(asked, given_up) is None
    for state, wrong in ((pending, given_up), (running, given_up), (running, never_began)):
        assert kind.complaint(state, wrong) is not None
