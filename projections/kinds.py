"""Kinds of streams, and how verify judges each: by the prefix of the type of their first event."""

from collections.abc import Mapping
from typing import Any, Final, Protocol, get_args

from domain import events, job_events
from domain.due_events import DueEvent
from domain.events import Happened
from domain.execution import RETRYABLE, Execution
from domain.job import CronJob
from domain.streams import State


class Kind(Protocol):
    """One kind of stream: what an event makes of a state, and whether it may happen there."""

    def complaint(self, state: Any, happened: Happened) -> str | None:
        """Return why the rules do not allow this event in this state, None if they do."""
        ...


class Executions:
    """The streams of executions, judged by the rules of their paths, apart from `decide`."""

    def complaint(self, state: Execution | None, happened: Happened) -> str | None:
        """Return why this event may not be here."""
        event = happened.event
        if isinstance(event, events.Created):
            return None if state is None else "an execution is created once"
        if state is None:
            return "an execution begins with execution.created"
        if _is_allowed(state, event):
            return None
        return f"{event.__struct_config__.tag} cannot follow in the status {state.status}"


def _is_allowed(state: Execution, event: events.Event) -> bool:
    match event:
        case events.Completed() | events.TimedOut() | events.Lost():
            return state.status == "running"
        case events.CancelRequested():
            return state.status == "running" and state.cancel_requested_at is None
        case events.Canceled(observed_by=observer, ending=ending) if state.status == "pending":
            return observer == "server" and ending is None
        case events.Canceled(ending=ending):
            is_asked = state.status == "running" and state.cancel_requested_at is not None
            return is_asked and ending is not None
        case events.OutcomeReportedLate():
            given_up = state.completed_at is not None and state.observed_by == "server"
            return given_up and state.fence is not None and state.late is None
        case events.Retried():
            return state.status in RETRYABLE
        case events.BodiesErased():
            return state.completed_at is not None
        case _:
            return _is_beginning(state, event)


def _is_beginning(state: Execution, event: events.Event) -> bool:
    """Tell whether what is pending may go on so."""
    match event:
        case events.Started():
            return state.status == "pending" and state.held is None
        case events.Released():
            return state.status == "pending" and state.held is not None
        case events.NotStarted():
            return state.status == "pending" and state.start_deadline_seconds is not None
        case _:
            return False


class Jobs:
    """The streams of jobs."""

    def complaint(self, state: CronJob | None, happened: Happened) -> str | None:
        """Return why this event may not be here."""
        event = happened.event
        if isinstance(event, job_events.JobCreated):
            is_free = state is None or state.status == "deleted"
            return None if is_free else "a job is created once, and again after it was deleted"
        if state is None:
            return "a job begins with job.created"
        if _may_happen(state, event):
            return None
        return f"{event.__struct_config__.tag} cannot follow while the job is {state.status}"


def _may_happen(state: CronJob, event: events.Event) -> bool:
    match event:
        case job_events.JobPaused():
            return state.status == "enabled"
        case job_events.JobResumed():
            return state.status == "paused"
        case job_events.JobChanged() | job_events.JobDeleted():
            return state.status != "deleted"
        case job_events.JobBodiesErased():
            return True
        case _:
            return False


class PassedTimes:
    """The streams of due times on which nothing ran: one event each."""

    def complaint(self, state: State | None, happened: Happened) -> str | None:
        """Return why this event may not be here."""
        is_first = state is None and isinstance(happened.event, get_args(DueEvent))
        return None if is_first else "a due time has one fact"


KINDS: Final[Mapping[str, Kind]] = {
    "execution": Executions(),
    "job": Jobs(),
    "schedule": PassedTimes(),
}


def kind_of(event_type: str) -> str:
    """Return the kind of the stream that begins with an event of this type."""
    return event_type.partition(".")[0]
