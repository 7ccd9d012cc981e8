"""The rules of executions: what may happen, given what has happened.

`decide` judges what is asked and returns what happens, or raises a refusal. Nothing here knows a
clock, a database or a network.
"""

from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from msgspec.structs import replace

from domain import commands, errors, events
from domain.commands import Command
from domain.events import Ending, Envelope, Event, Outcome
from domain.execution import RETRYABLE, Execution

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
        case commands.Erase():
            return _erase(state, command)
        case commands.TimeOut() | commands.Lose() | commands.ConfirmCancel():
            return _give_up(state, command)


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
    if state.status != "pending" or state.held is not None:
        raise errors.NotStartable(status=state.status)
    return (_next(state, command, events.Started(agent_id=command.agent_id)),)


def _complete(state: Execution, command: commands.Complete) -> Decision:
    if state.fence is None or command.fence != state.fence:
        raise errors.LeaseLost(status=state.status)
    ending = _with_reason(command)
    if state.status == "running":
        end = _next(state, command, _end(state, command.outcome, ending))
        return (_claimed_to_be(end, command.ended_at),)
    if (told := _told(state)) is not None:
        if state.output_erased_at is not None:
            # What is hashed now is not what was hashed then: as far as can be told, it is the same.
            ending = replace(ending, stdout=told[1].stdout, stderr=told[1].stderr)
        if (command.outcome, ending) != told:
            raise errors.AlreadyFinal(status=state.status)
        return ()
    late = events.OutcomeReportedLate(outcome=command.outcome, ending=ending)
    return (_next(state, command, late),)


def _told(state: Execution) -> tuple[Outcome | None, Ending] | None:
    """Return what the agent itself has said of the end, in time or late."""
    if state.late is not None:
        return state.late.outcome, state.late.ending
    if state.observed_by != "agent" or state.ending is None:
        return None
    return state.outcome, state.ending


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
    state: Execution, command: commands.TimeOut | commands.Lose | commands.ConfirmCancel
) -> Decision:
    if state.status != "running":
        raise errors.NotRunning(status=state.status)
    if isinstance(command, commands.ConfirmCancel) and state.cancel_requested_at is None:
        raise errors.CancelNotRequested(status=state.status)
    event = _GIVEN_UP[type(command)]("server", process_ended=False, ending=command.ending)
    return (_next(state, command, event),)


_GIVEN_UP: Final[dict[type[Command], type[events.TimedOut | events.Lost | events.Canceled]]] = {
    commands.TimeOut: events.TimedOut,
    commands.Lose: events.Lost,
    commands.ConfirmCancel: events.Canceled,
}


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


def _erase(state: Execution, command: commands.Erase) -> Decision:
    if state.status in {"pending", "running"}:
        raise errors.NotErasable(status=state.status)
    erased = events.BodiesErased(
        reason=command.reason,
        output=command.output and state.output_erased_at is None,
        messages=command.messages and not state.messages_erased,
        configuration=None if command.configuration_of is None else state.configuration.sha256,
    )
    return () if erased == events.BodiesErased(command.reason) else (_next(state, command, erased),)


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
