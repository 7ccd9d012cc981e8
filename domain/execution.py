"""The aggregate: one execution, and its state after what happened.

`evolve` folds what happened and never raises. What may happen, execution_rules.py decides.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, TypeAlias
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain import events
from domain.events import (
    BodyDigest,
    Ending,
    Event,
    Happened,
    HeldReason,
    Observer,
    Outcome,
)

Status: TypeAlias = Literal["pending", "running", "success", "failed", "timeout", "canceled"]

RETRYABLE: Final[frozenset[Status]] = frozenset({"failed", "timeout"})


class LateOutcome(Struct, frozen=True, gc=False):
    """What an agent reported after the status was final."""

    outcome: Outcome
    reported_at: datetime
    ending: Ending


class Execution(Struct, frozen=True, gc=False):
    """Everything the history says about one execution."""

    id: UUID
    version: int
    status: Status
    job_id: str
    configuration: BodyDigest
    triggered_by: events.TriggeredBy
    timeout_seconds: int | None
    attempt: int
    root_id: UUID
    retry_of: UUID | None
    scheduled_for: datetime | None
    pinned_agent_id: str | None
    labels: tuple[str, ...]
    start_deadline_seconds: int | None
    created_by: UUID
    held: HeldReason | None = None
    agent_id: str | None = None
    fence: UUID | None = None
    started_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    completed_at: datetime | None = None
    observed_by: Observer | None = None
    outcome: Outcome | None = None
    ending: Ending | None = None
    retried_as: UUID | None = None
    late: LateOutcome | None = None
    output_erased_at: datetime | None = None
    messages_erased: bool = False

    @property
    def failure_reason(self) -> events.FailureReason | None:
        """Why it failed, in a word: what never began has no ending that says so."""
        if self.ending is not None:
            return self.ending.failure_reason
        return "not_started" if self.status == "failed" else None


def fold(history: Iterable[Happened]) -> Execution | None:
    """Return the state after `history`, which is one stream in order of version."""
    state: Execution | None = None
    for envelope in history:
        state = evolve(state, envelope)
    return state


def evolve(state: Execution | None, envelope: Happened) -> Execution | None:
    """Return the state after one more event. Never raises: what happened has happened."""
    event = envelope.event
    version = envelope.originator_version
    if isinstance(event, events.Created):
        return _created(envelope, event)
    if state is None:
        return None
    match event:
        case events.Started():
            return replace(
                state,
                version=version,
                status="running",
                agent_id=event.agent_id,
                fence=envelope.command_id,
                started_at=envelope.at,
            )
        case events.Completed():
            ending = event.ending
            is_good = ending.exit_code == 0 and ending.failure_reason is None
            return _ended(state, envelope, "success" if is_good else "failed", "agent", ending)
        case _:
            return _given_up(state, envelope, event)


def _given_up(state: Execution, envelope: Happened, event: Event) -> Execution:
    """Return the state after an end that was not the command's own, or after anything else."""
    match event:
        case events.TimedOut():
            return _ended(state, envelope, "timeout", event.observed_by, event.ending)
        case events.Canceled():
            return _ended(state, envelope, "canceled", event.observed_by, event.ending)
        case events.Lost():
            return _ended(state, envelope, "failed", event.observed_by, event.ending)
        case events.NotStarted():
            return _ended(state, envelope, "failed", "server", None)
        case _:
            return _noted(state, envelope, event)


def _noted(state: Execution, envelope: Happened, event: Event) -> Execution:
    """Return the state after an event that neither begins nor ends anything."""
    version = envelope.originator_version
    match event:
        case events.CancelRequested():
            return replace(state, version=version, cancel_requested_at=envelope.at)
        case events.Released():
            return replace(state, version=version, held=None)
        case events.Retried():
            return replace(state, version=version, retried_as=event.retried_as)
        case events.OutcomeReportedLate():
            late = LateOutcome(event.outcome, envelope.at, event.ending)
            return replace(state, version=version, late=late, messages_erased=False)
        case events.BodiesErased():
            return replace(
                state,
                version=version,
                output_erased_at=state.output_erased_at or (envelope.at if event.output else None),
                messages_erased=state.messages_erased or event.messages,
            )
        case _:  # none of an execution's
            return state


def _created(envelope: Happened, event: events.Created) -> Execution:
    # In the order of the fields: by keywords it takes three times as long, and every fold does it.
    return Execution(
        envelope.originator_id,
        envelope.originator_version,
        "pending",
        event.job_id,
        event.configuration,
        event.triggered_by,
        event.timeout_seconds,
        event.attempt,
        event.root_id,
        event.retry_of,
        event.scheduled_for,
        event.pinned_agent_id,
        event.labels,
        event.start_deadline_seconds,
        envelope.command_id,
        event.held,
    )


def _ended(
    state: Execution,
    envelope: Happened,
    status: Status,
    observer: Observer,
    ending: Ending | None,
) -> Execution:
    return replace(
        state,
        version=envelope.originator_version,
        status=status,
        completed_at=envelope.at,
        observed_by=observer,
        outcome=_OUTCOMES.get(envelope.event.__class__),
        ending=ending,
    )


_OUTCOMES: Final[dict[type[Event], Outcome]] = {
    events.Completed: "exited",
    events.TimedOut: "timed_out",
    events.Canceled: "canceled",
}
