"""The kinds of streams in the one log, told apart in one place: executions and jobs."""

from typing import Final, TypeAlias, get_args
from uuid import UUID

from domain import commands, execution, job, job_commands, retrying
from domain.commands import Command
from domain.events import Envelope, Happened
from domain.execution import Execution
from domain.job import CronJob
from domain.job_commands import AboutJob, JobCommand
from domain.job_events import JobEvent

State: TypeAlias = Execution | CronJob

_JOB_EVENTS: Final = frozenset(get_args(JobEvent))


def evolve(state: State | None, happened: Happened) -> State | None:
    """Return the state of a stream after one more event. Never raises."""
    if happened.event.__class__ in _JOB_EVENTS:
        return job.evolve(state if isinstance(state, CronJob) else None, happened)
    return execution.evolve(state if isinstance(state, Execution) else None, happened)


def decide(state: State | None, command: Command | JobCommand) -> tuple[Envelope, ...]:
    """Return what happens because of `command`, given the state of its stream.

    A stream of another kind is none for it. Raises a `Refusal`.
    """
    if isinstance(command, AboutJob):
        return job.decide(state if isinstance(state, CronJob) else None, command)
    known = state if isinstance(state, Execution) else None
    if isinstance(command, commands.Retry) and command.automatic:
        retrying.check(known)
    return execution.decide(known, command)


def stream_of(command: Command | JobCommand) -> UUID:
    """Return the stream whose history decides about `command`."""
    return command.stream_id if isinstance(command, AboutJob) else command.execution_id


def subject_of(command: Command | JobCommand) -> UUID:
    """Return the stream that the answer to `command` is about: what it makes, if anything."""
    if isinstance(command, (commands.Retry, job_commands.RunJob)):
        return command.new_id
    return stream_of(command)
