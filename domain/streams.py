"""The kinds of streams in the one log, told apart in one place.

Executions, jobs, and due times on which nothing ran.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias, get_args
from uuid import UUID

from domain import (
    commands,
    due,
    errors,
    execution,
    execution_rules,
    job,
    job_commands,
    retrying,
)
from domain.commands import Command
from domain.due import PassedTimes
from domain.due_commands import DueCommand, Release, Settle
from domain.due_events import DueEvent
from domain.events import Envelope, Happened
from domain.execution import Execution
from domain.job import CronJob
from domain.job_commands import AboutJob, JobCommand
from domain.job_events import JobEvent

State: TypeAlias = Execution | CronJob | PassedTimes

AnyCommand: TypeAlias = Command | JobCommand | DueCommand

_JOB_EVENTS: Final = frozenset(get_args(JobEvent))
_OTHER_EVENTS: Final = _JOB_EVENTS | frozenset(get_args(DueEvent))
_OF_SEVERAL: Final[frozenset[type]] = frozenset({Settle, Release, commands.Erase})


def evolve(state: State | None, happened: Happened) -> State | None:
    """Return the state of a stream after one more event. Never raises."""
    kind = happened.event.__class__
    if kind not in _OTHER_EVENTS:  # nearly all are of executions
        return execution.evolve(state if isinstance(state, Execution) else None, happened)
    if kind in _JOB_EVENTS:
        return job.evolve(state if isinstance(state, CronJob) else None, happened)
    return due.evolve(state if isinstance(state, PassedTimes) else None, happened)


def decide(state: State | None, command: Command | JobCommand) -> tuple[Envelope, ...]:
    """Return what happens because of `command`, given the state of its stream.

    A stream of another kind is none for it. Raises a `Refusal`.
    """
    if isinstance(command, AboutJob):
        return job.decide(state if isinstance(state, CronJob) else None, command)
    if isinstance(state, PassedTimes) and isinstance(command, commands.Create):
        raise errors.ExecutionExists
    known = state if isinstance(state, Execution) else None
    if isinstance(command, commands.Retry) and command.automatic:
        retrying.check(known)
    return execution_rules.decide(known, command)


def stream_of(command: AnyCommand) -> UUID:
    """Return the stream whose history decides about `command`."""
    if isinstance(command, AboutJob) and not isinstance(command, Release):
        return command.stream_id
    return command.execution_id


def streams_of(command: AnyCommand) -> Iterable[UUID]:
    """Return the streams that must be known to judge `command`."""
    if command.__class__ in _OF_SEVERAL:  # nearly all are about one
        if isinstance(command, (Settle, Release)):
            return due.streams_of(command)
        if isinstance(command, commands.Erase) and command.configuration_of is not None:
            return (command.execution_id, command.configuration_of)
    return (stream_of(command),)


def subject_of(command: AnyCommand) -> UUID:
    """Return the stream that the answer to `command` is about: what it makes, if anything."""
    if isinstance(command, (commands.Retry, job_commands.RunJob)):
        return command.new_id
    return stream_of(command)
