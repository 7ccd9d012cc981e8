"""The aggregate: one execution, its state and its rules.

`evolve` folds what happened and never raises; `decide` judges what is asked and returns what
happens, or raises a refusal. Nothing here knows a clock, a database or a network.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, TypeAlias
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain import commands, errors, events
from domain.commands import Command
from domain.events import (
    BodyDigest,
    Ending,
    Envelope,
    Event,
    FailureReason,
    Happened,
    Observer,
    Outcome,
    TriggeredBy,
)

Status: TypeAlias = Literal["pending", "running", "success", "failed", "timeout", "canceled"]

RETRYABLE: Final[frozenset[Status]] = frozenset({"failed", "timeout"})


class LateOutcome(Struct, frozen=True):
    """What an agent reported after the status was final."""

    outcome: Outcome
    reported_at: datetime
    ending: Ending


class Execution(Struct, frozen=True):
    """Everything the history says about one execution."""

    id: UUID
    version: int
    status: Status
    job_id: str
    configuration: BodyDigest
    triggered_by: TriggeredBy
    timeout_seconds: int | None
    attempt: int
    root_id: UUID
    retry_of: UUID | None
    scheduled_for: datetime | None
    pinned_agent_id: str | None
    labels: tuple[str, ...]
    start_deadline_seconds: int | None
    created_by: UUID
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

    @property
    def failure_reason(self) -> FailureReason | None:
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
        case events.CancelRequested():
            return replace(state, version=version, cancel_requested_at=envelope.at)
        case events.Retried():
            return replace(state, version=version, retried_as=event.retried_as)
        case events.OutcomeReportedLate():
            late = LateOutcome(event.outcome, envelope.at, event.ending)
            return replace(state, version=version, late=late)
        case (
            events.Completed()
            | events.TimedOut()
            | events.Canceled()
            | events.Lost()
            | events.NotStarted()
        ):
            return _ended(state, envelope, event)
        case _:  # none of an execution's
            return state


def _created(envelope: Happened, event: events.Created) -> Execution:
    return Execution(
        id=envelope.originator_id,
        version=envelope.originator_version,
        status="pending",
        job_id=event.job_id,
        configuration=event.configuration,
        triggered_by=event.triggered_by,
        timeout_seconds=event.timeout_seconds,
        attempt=event.attempt,
        root_id=event.root_id,
        retry_of=event.retry_of,
        scheduled_for=event.scheduled_for,
        pinned_agent_id=event.pinned_agent_id,
        labels=event.labels,
        start_deadline_seconds=event.start_deadline_seconds,
        created_by=envelope.command_id,
    )


_Final: TypeAlias = (
    events.Completed | events.TimedOut | events.Canceled | events.Lost | events.NotStarted
)


def _ended(state: Execution, envelope: Happened, event: _Final) -> Execution:
    return replace(
        state,
        version=envelope.originator_version,
        status=_final_status(event),
        completed_at=envelope.at,
        observed_by=_observer(event),
        outcome=_OUTCOMES.get(type(event)),
        ending=None if isinstance(event, events.NotStarted) else event.ending,
    )


def _observer(event: _Final) -> Observer:
    match event:
        case events.Completed():
            return "agent"
        case events.NotStarted():
            return "server"
        case _:
            return event.observed_by


_OUTCOMES: Final[dict[type[Event], Outcome]] = {
    events.Completed: "exited",
    events.TimedOut: "timed_out",
    events.Canceled: "canceled",
}


def _final_status(event: _Final) -> Status:
    match event:
        case events.Completed(ending=ending):
            return (
                "success" if ending.exit_code == 0 and ending.failure_reason is None else "failed"
            )
        case events.TimedOut():
            return "timeout"
        case events.Canceled():
            return "canceled"
        case events.Lost() | events.NotStarted():
            return "failed"


Decision: TypeAlias = tuple[Envelope, ...]


def decide(state: Execution | None, command: Command) -> Decision:
    """Return what happens because of `command`, in the order in which it is recorded.

    An empty decision means that it has happened already. Raises a `Refusal` if the rules forbid
    it. All envelopes of one decision belong in one transaction.
    """
    if isinstance(command, commands.Create):
        return _create(state, command)
    if state is None:
        raise errors.ExecutionNotFound
    match command:
        case commands.Start():
            return _start(state, command)
        case commands.Complete():
            return _complete(state, command)
        case commands.Expire():
            return _expire(state, command)
        case commands.Cancel():
            return _cancel(state, command)
        case commands.Retry():
            return _retry(state, command)
        case commands.TimeOut(ending=ending):
            return _give_up(
                state, command, events.TimedOut("server", process_ended=False, ending=ending)
            )
        case commands.Lose(ending=ending):
            return _give_up(
                state, command, events.Lost("server", process_ended=False, ending=ending)
            )
        case commands.ConfirmCancel(ending=ending):
            if state.status == "running" and state.cancel_requested_at is None:
                raise errors.CancelNotRequested(status=state.status)
            return _give_up(
                state, command, events.Canceled("server", process_ended=False, ending=ending)
            )


def _create(state: Execution | None, command: commands.Create) -> Decision:
    created = events.Created(
        job_id=command.job_id,
        configuration=command.configuration,
        triggered_by=command.triggered_by,
        timeout_seconds=command.timeout_seconds,
        attempt=1,
        root_id=command.execution_id,
        scheduled_for=command.scheduled_for,
        # A run that its own host claims at birth stays with it, and so do its retries.
        pinned_agent_id=command.claim_agent_id or command.pinned_agent_id,
        labels=command.labels,
        start_deadline_seconds=command.start_deadline_seconds,
    )
    if state is not None:
        if not _created_alike(state, created, command.claim_agent_id):
            raise errors.ExecutionExists
        return ()
    first = _envelope(command, command.execution_id, 1, command.execution_id, created)
    if command.claim_agent_id is None:
        return (first,)
    started = events.Started(agent_id=command.claim_agent_id)
    second = _envelope(command, command.execution_id, 2, command.execution_id, started)
    return (first, _claimed_to_be(second, command.started_at))


def _created_alike(state: Execution, created: events.Created, claim_agent_id: str | None) -> bool:
    return (
        state.attempt == created.attempt
        and state.job_id == created.job_id
        and state.configuration == created.configuration
        and state.triggered_by == created.triggered_by
        and state.timeout_seconds == created.timeout_seconds
        and state.scheduled_for == created.scheduled_for
        and state.pinned_agent_id == created.pinned_agent_id
        and state.labels == created.labels
        and state.start_deadline_seconds == created.start_deadline_seconds
        # When it began is no part of what was asked: who tells it again may know it better.
        and (claim_agent_id is None or state.fence == state.created_by)
    )


def _start(state: Execution, command: commands.Start) -> Decision:
    if state.status != "pending":
        raise errors.NotStartable(status=state.status)
    return (_next(state, command, events.Started(agent_id=command.agent_id)),)


def _complete(state: Execution, command: commands.Complete) -> Decision:
    if state.fence is None or command.fence != state.fence:
        raise errors.LeaseLost(status=state.status)
    ending = _with_reason(command)
    said = (command.outcome, ending)
    if state.status == "running":
        end = _next(state, command, _end(state, command.outcome, ending))
        return (_claimed_to_be(end, command.ended_at),)
    if state.observed_by == "agent":
        if said != (state.outcome, state.ending):
            raise errors.AlreadyFinal(status=state.status)
        return ()
    if state.late is not None:
        if said != (state.late.outcome, state.late.ending):
            raise errors.AlreadyFinal(status=state.status)
        return ()
    late = events.OutcomeReportedLate(outcome=command.outcome, ending=ending)
    return (_next(state, command, late),)


def _with_reason(command: commands.Complete) -> Ending:
    ending = command.ending
    if command.outcome != "exited" or ending.exit_code == 0 or ending.failure_reason is not None:
        return ending
    return replace(ending, failure_reason="exit_code")


def _end(state: Execution, outcome: Outcome, ending: Ending) -> Event:
    match outcome:
        case "exited":
            return events.Completed(ending)
        case "timed_out":
            return events.TimedOut("agent", process_ended=True, ending=ending)
        case "canceled":
            if state.cancel_requested_at is None:
                raise errors.CancelNotRequested(status=state.status)
            return events.Canceled("agent", process_ended=True, ending=ending)


def _expire(state: Execution, command: commands.Expire) -> Decision:
    if state.status != "pending" or state.start_deadline_seconds is None:
        raise errors.NotExpirable(status=state.status)
    return (_next(state, command, events.NotStarted()),)


def _cancel(state: Execution, command: commands.Cancel) -> Decision:
    if state.status == "pending":
        return (_next(state, command, events.Canceled("server", process_ended=True)),)
    if state.status == "canceled" or (
        state.status == "running" and state.cancel_requested_at is not None
    ):
        return ()
    if state.status == "running":
        return (_next(state, command, events.CancelRequested()),)
    raise errors.NotCancelable(status=state.status)


def _give_up(
    state: Execution,
    command: commands.TimeOut | commands.Lose | commands.ConfirmCancel,
    event: Event,
) -> Decision:
    if state.status != "running":
        raise errors.NotRunning(status=state.status)
    return (_next(state, command, event),)


def _retry(state: Execution, command: commands.Retry) -> Decision:
    if state.status not in RETRYABLE:
        raise errors.NotRetryable(status=state.status)
    created = events.Created(
        job_id=state.job_id,
        configuration=state.configuration,
        triggered_by="retry",
        timeout_seconds=state.timeout_seconds,
        attempt=state.attempt + 1,
        root_id=state.root_id,
        retry_of=state.id,
        pinned_agent_id=state.pinned_agent_id,
        labels=state.labels,
        start_deadline_seconds=state.start_deadline_seconds,
    )
    # Created stands before the Retried that points to it, so that a reader who stops between
    # the two never sees a pointer to nothing.
    return (
        _envelope(command, command.new_id, 1, state.root_id, created),
        _next(state, command, events.Retried(retried_as=command.new_id)),
    )


def _claimed_to_be(envelope: Envelope, moment: datetime | None) -> Envelope:
    """Return the event at the time at which the agent says that it happened, if it says one."""
    return envelope if moment is None else replace(envelope, at=moment)


def _next(state: Execution, command: Command, event: Event) -> Envelope:
    return _envelope(command, state.id, state.version + 1, state.root_id, event)


def _envelope(
    command: Command, stream: UUID, version: int, correlation_id: UUID, event: Event
) -> Envelope:
    return Envelope(
        originator_id=stream,
        originator_version=version,
        at=command.at,
        actor=command.by,
        command_id=command.command_id,
        correlation_id=correlation_id,
        event=event,
    )
