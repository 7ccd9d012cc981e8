"""Every rule of an execution: all states, all commands."""

from collections.abc import Callable
from typing import Final
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain import errors, events
from domain.events import Envelope, Event
from domain.execution import RETRYABLE, evolve
from domain.execution_rules import decide
from tests.unit.domain.histories import (
    CANCEL_REQUESTED,
    CANCELED,
    CANCELED_PENDING,
    CANCELED_UNSEEN,
    COMMAND,
    COMMANDS,
    CREATED,
    ERASED,
    FAILED,
    FENCE,
    HISTORIES,
    JOB,
    LATE,
    LOST,
    NOON,
    NOT_STARTED,
    ONE,
    OTHER,
    SIGNALED,
    STARTED,
    SUCCEEDED,
    TIMED_OUT,
    TIMED_OUT_UNSEEN,
    complete,
    create,
    ending,
    given,
)

Refused = tuple[type[errors.Refusal], str]
Expected = tuple[Event, ...] | Refused
STATUSES: Final = {
    "pending": "pending",
    "pending with a deadline": "pending",
    "not started": "failed",
    "running": "running",
    "canceling": "running",
    "succeeded": "success",
    "failed": "failed",
    "timed out": "timeout",
    "timed out unseen": "timeout",
    "canceled while pending": "canceled",
    "canceled": "canceled",
    "canceled unseen": "canceled",
    "lost": "failed",
    "lost and told": "failed",
    "timed out and told": "timeout",
    "failed and retried": "failed",
    "failed and erased": "failed",
    "lost and erased": "failed",
}
NOT_FOUND: Final = (errors.ExecutionNotFound, "There is no execution with this id.")
EXISTS: Final = (
    errors.ExecutionExists,
    "An execution with this id exists already and was created from another request; use a new id.",
)
PENDING: Final = {"pending", "pending with a deadline"}
HURRIED_ONES: Final = {"pending with a deadline", "not started"}
NEVER_BEGAN: Final = {*PENDING, "canceled while pending", "not started"}
UNTOLD: Final = {"timed out unseen", "canceled unseen", "lost", "lost and erased"}
_RETRY: Final = events.Created(
    job_id="backup",
    configuration=JOB,
    triggered_by="retry",
    timeout_seconds=60,
    attempt=2,
    root_id=ONE,
    retry_of=ONE,
)


def _refused(kind: type[errors.Refusal], name: str) -> Refused:
    sentences = {
        errors.NotRetryable: "only executions that are failed or timeout can be retried.",
        errors.NotStartable: "only executions that are pending can be claimed.",
        errors.NotRunning: "only executions that are running can be ended.",
        errors.NotErasable: "only what has ended can be erased: cancel it, or wait for its end.",
        errors.NotExpirable: (
            "only executions that are pending and have a start deadline can end as not started."
        ),
    }
    return kind, f"This execution is {STATUSES[name]}; {sentences[kind]}"


def _not_cancelable(name: str) -> Refused:
    return errors.NotCancelable, (
        f"This execution is {STATUSES[name]} already; only executions that are pending or running "
        "can be canceled."
    )


def _lease_lost(name: str) -> Refused:
    return errors.LeaseLost, (
        f"This lease does not hold this execution, which is {STATUSES[name]}; end the command, "
        "claim anew."
    )


def _already_final(name: str) -> Refused:
    return errors.AlreadyFinal, (
        f"This execution is {STATUSES[name]} already and another report of its end was recorded "
        "before; only executions that are running can be completed."
    )


def _cancel_not_requested(name: str) -> Refused:
    return errors.CancelNotRequested, (
        "Nobody asked to cancel this execution, so it cannot be reported as canceled; it is "
        f"{STATUSES[name]}."
    )


_REPORTS: Final[dict[str, tuple[events.Outcome, Event]]] = {
    "complete": ("exited", SUCCEEDED),
    "complete as failed": ("exited", FAILED),
    "complete as timed out": ("timed_out", TIMED_OUT),
    "complete as canceled": ("canceled", CANCELED),
}
_TOLD: Final = {
    "succeeded": "complete",
    "failed": "complete as failed",
    "failed and retried": "complete as failed",
    "failed and erased": "complete as failed",
    "timed out": "complete as timed out",
    "canceled": "complete as canceled",
    "lost and told": "complete",
    "timed out and told": "complete",
}
_GIVEN_UP: Final[dict[str, Event]] = {
    "time out": TIMED_OUT_UNSEEN,
    "lose": LOST,
    "confirm cancel": CANCELED_UNSEEN,
}


def _completed(name: str, asked: str) -> Expected:
    """What becomes of an agent's report, by the state in which it arrives."""
    if name in NEVER_BEGAN:
        return _lease_lost(name)
    outcome, event = _REPORTS[asked]
    if name == "running" and asked == "complete as canceled":
        return _cancel_not_requested(name)
    if name in {"running", "canceling"}:
        return (event,)
    if name in UNTOLD:
        told = getattr(event, "ending")  # noqa: B009 - every event of _REPORTS has one
        return (events.OutcomeReportedLate(outcome=outcome, ending=told),)
    return () if _TOLD[name] == asked else _already_final(name)


def _created(name: str, asked: str) -> Expected:
    if name != "nothing":
        return () if asked == "create" and name not in HURRIED_ONES else EXISTS
    return (CREATED,) if asked == "create" else (replace(CREATED, job_id="restore"),)


def _started(name: str, _: str) -> Expected:
    return (STARTED,) if name in PENDING else _refused(errors.NotStartable, name)


def _expired(name: str, _: str) -> Expected:
    if name == "pending with a deadline":
        return (NOT_STARTED,)
    return _refused(errors.NotExpirable, name)


def _canceled(name: str, _: str) -> Expected:
    if name == "canceling" or STATUSES[name] == "canceled":
        return ()
    happens: dict[str, Event] = {"running": CANCEL_REQUESTED}
    happens |= dict.fromkeys(PENDING, CANCELED_PENDING)
    return (happens[name],) if name in happens else _not_cancelable(name)


def _given_up(name: str, asked: str) -> Expected:
    if asked == "confirm cancel" and name == "running":
        return _cancel_not_requested(name)
    if name in {"running", "canceling"}:
        return (_GIVEN_UP[asked],)
    return _refused(errors.NotRunning, name)


def _erased(name: str, asked: str) -> Expected:
    if STATUSES[name] in {"pending", "running"}:
        return _refused(errors.NotErasable, name)
    if asked == "erase the configuration":
        return (events.BodiesErased("secret", configuration=JOB.sha256),)
    return () if name.endswith("erased") else (ERASED,)


def _retried(name: str, _: str) -> Expected:
    if STATUSES[name] in {"failed", "timeout"}:
        again = _RETRY
        if name in HURRIED_ONES:
            again = replace(_RETRY, labels=("gpu",), start_deadline_seconds=600)
        return (again, events.Retried(retried_as=OTHER))
    return _refused(errors.NotRetryable, name)


_RULES: Final[dict[str, Callable[[str, str], Expected]]] = {
    "start": _started,
    "expire": _expired,
    "cancel": _canceled,
    "retry": _retried,
    **dict.fromkeys(("erase", "erase the configuration"), _erased),
    "complete with another lease": lambda name, _: _lease_lost(name),
    **dict.fromkeys(_REPORTS, _completed),
    **dict.fromkeys(_GIVEN_UP, _given_up),
}


def expected_of(name: str, asked: str) -> Expected:
    """The table of all rules: what happens, or which refusal is given."""
    if asked.startswith("create"):
        return _created(name, asked)
    return NOT_FOUND if name == "nothing" else _RULES[asked](name, asked)


@pytest.mark.parametrize("asked", COMMANDS)
@pytest.mark.parametrize("name", HISTORIES)
def test_each_command_in_each_state(name: str, asked: str) -> None:
    """Given a history, when something is asked, exactly this happens, or this refusal is given."""
    state, expected = given(*HISTORIES[name]), expected_of(name, asked)

    if expected and isinstance(expected[0], type):
        kind, sentence = expected
        with pytest.raises(kind) as refused:
            decide(state, COMMANDS[asked])
        assert type(refused.value) is kind
        assert str(refused.value) == sentence
    else:
        decision = decide(state, COMMANDS[asked])
        assert tuple(envelope.event for envelope in decision) == expected


@pytest.mark.parametrize("asked", COMMANDS)
@pytest.mark.parametrize("name", HISTORIES)
def test_what_happens_stands_in_its_place(name: str, asked: str) -> None:
    """Events carry the command's time, actor and id, and the next version of their stream."""
    state, command = given(*HISTORIES[name]), COMMANDS[asked]
    try:
        decision = decide(state, command)
    except errors.Refusal:
        return

    versions = {ONE: len(HISTORIES[name]), OTHER: 0}
    for envelope in decision:
        versions[envelope.originator_id] += 1
        assert envelope == Envelope(
            originator_id=envelope.originator_id,
            originator_version=versions[envelope.originator_id],
            at=NOON,
            actor="operator:tok_1",
            command_id=COMMAND,
            correlation_id=ONE,
            event=envelope.event,
        )


@pytest.mark.parametrize("name", STATUSES)
def test_the_status_of_each_history(name: str) -> None:
    """A history leads to its status and version, and the rules' own sets agree with it."""
    state = given(*HISTORIES[name])

    assert state is not None
    assert (state.status, state.version) == (STATUSES[name], len(HISTORIES[name]))
    assert (state.status not in {"pending", "running"}) == (state.completed_at is not None)
    assert (state.status in RETRYABLE) == (STATUSES[name] in {"failed", "timeout"})


def test_a_create_with_a_claim_starts_in_the_same_decision() -> None:
    """Who claims at birth gets Created and Started together, and stays pinned to the execution."""
    decision = decide(None, create(claim_agent_id="host-1"))

    assert [e.event for e in decision] == [replace(CREATED, pinned_agent_id="host-1"), STARTED]
    state = None
    for envelope in decision:
        state = evolve(state, envelope)
    assert state is not None
    assert (state.status, state.fence, state.version) == ("running", COMMAND, 2)
    assert decide(state, create(claim_agent_id="host-1")) == ()


def test_a_create_with_a_claim_is_not_an_older_one_without() -> None:
    """An execution that an agent claimed later is not one that was claimed at birth."""
    pinned = replace(CREATED, pinned_agent_id="host-1")

    with pytest.raises(errors.ExecutionExists):
        decide(given(pinned, STARTED), create(claim_agent_id="host-1"))


@pytest.mark.parametrize(
    "other",
    [
        {"job_id": "restore"},
        {"configuration": events.BodyDigest(120, "cd" * 32)},
        {"triggered_by": "manual"},
        {"timeout_seconds": None},
        {"scheduled_for": None},
        {"pinned_agent_id": "host-2"},
        {"labels": ("gpu",)},
        {"start_deadline_seconds": 60},
    ],
    ids=lambda other: next(iter(other)),
)
def test_the_same_id_for_another_request_is_refused(other: dict[str, object]) -> None:
    """A client-made id names one request; any field that differs makes it another."""
    with pytest.raises(errors.ExecutionExists):
        decide(given(CREATED), create(**other))


def test_a_retry_is_no_create_of_its_id() -> None:
    """An id that a retry was given cannot be created, even with the same configuration."""
    retry = replace(CREATED, attempt=2, retry_of=OTHER, root_id=OTHER)

    with pytest.raises(errors.ExecutionExists):
        decide(given(retry), create())


def test_a_retry_keeps_lineage_and_pin() -> None:
    """Attempt and root count from the first execution; the pin stays, the schedule does not."""
    root = UUID(int=77)
    second = replace(CREATED, attempt=4, root_id=root, retry_of=OTHER, pinned_agent_id="host-1")

    born, told = decide(given(second, STARTED, FAILED), COMMANDS["retry"])

    assert born.event == replace(
        _RETRY, attempt=5, root_id=root, retry_of=ONE, pinned_agent_id="host-1"
    )
    assert (born.originator_id, born.originator_version) == (OTHER, 1)
    assert (told.originator_id, told.originator_version) == (ONE, 4)
    assert {born.correlation_id, told.correlation_id} == {root}


@pytest.mark.parametrize(
    ("said", "recorded", "status"),
    [
        (ending(0), ending(0), "success"),
        (ending(1), ending(1, failure_reason="exit_code"), "failed"),
        (SIGNALED, replace(SIGNALED, failure_reason="exit_code"), "failed"),
        (ending(143, signal=15, failure_reason="signal"), None, "failed"),
        (ending(127, failure_reason="spawn_failed"), None, "failed"),
        (ending(0, failure_reason="agent_shutdown"), None, "failed"),
    ],
)
def test_an_exit_becomes_success_or_failure(
    said: events.Ending, recorded: events.Ending | None, status: str
) -> None:
    """Only exit code 0 without a reason is success; a failure without a reason gets one."""
    (envelope,) = decide(given(CREATED, STARTED), complete(ending=said))

    assert envelope.event == events.Completed(recorded or said)
    after = evolve(given(CREATED, STARTED), envelope)
    assert after is not None
    assert after.status == status


def test_a_completion_wins_over_a_cancel_that_came_first() -> None:
    """A command that ended by itself after the request is success; the request is remembered."""
    state = given(CREATED, STARTED, CANCEL_REQUESTED, SUCCEEDED)

    assert state is not None
    assert state.status == "success"
    assert state.cancel_requested_at is not None


def test_a_late_outcome_leaves_the_status() -> None:
    """What the agent says after it was given up is kept beside a status that stands."""
    state = given(*HISTORIES["lost and told"])

    assert state is not None
    assert (state.status, state.observed_by, state.fence) == ("failed", "server", FENCE)
    assert state.late is not None
    assert (state.late.outcome, state.late.ending) == ("exited", LATE.ending)


def test_a_report_with_another_ending_is_another_report() -> None:
    """The same outcome with another duration or exit code was not said before."""
    state = given(*HISTORIES["succeeded"])
    with pytest.raises(errors.AlreadyFinal):
        decide(state, complete(ending=replace(ending(), duration_ms=1501)))


def test_an_event_before_the_beginning_is_nothing() -> None:
    """A history without its Created has no state, whatever else is in it."""
    assert given(STARTED, SUCCEEDED) is None
