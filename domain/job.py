"""The aggregate: one job, its state and its rules.

`evolve` folds what happened and never raises; `decide` judges what is asked and returns what
happens, or raises a refusal. A job's runs are executions with streams of their own, so that its
own stream grows only when people change it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain import errors, events, job_commands, job_events
from domain.bodies import BodyDigest
from domain.events import Envelope, Happened
from domain.job_commands import JobCommand
from domain.job_events import JobEvent, Plan

JobStatus: TypeAlias = Literal["enabled", "paused", "deleted"]


class CronJob(Struct, frozen=True):
    """Everything the history says about one job.

    `id` is its stream, `job_id` its public name. `due_since` is from when on its times count: when
    it was made, resumed, or given its schedule.
    """

    id: UUID
    version: int
    job_id: str
    status: JobStatus
    definition: BodyDigest
    configuration: BodyDigest
    plan: Plan
    created_at: datetime
    updated_at: datetime
    due_since: datetime


def fold(history: Iterable[Happened]) -> CronJob | None:
    """Return the state after `history`, which is one stream in order of version."""
    state: CronJob | None = None
    for happened in history:
        state = evolve(state, happened)
    return state


def evolve(state: CronJob | None, happened: Happened) -> CronJob | None:
    """Return the state after one more event. Never raises: what happened has happened."""
    event, at = happened.event, happened.at
    if isinstance(event, job_events.JobCreated):
        return CronJob(
            id=happened.originator_id,
            version=happened.originator_version,
            job_id=event.job_id,
            status="enabled",
            definition=event.definition,
            configuration=event.configuration,
            plan=event.plan,
            created_at=at,
            updated_at=at,
            due_since=at,
        )
    if state is None:
        return None
    state = replace(state, version=happened.originator_version, updated_at=at)
    match event:
        case job_events.JobChanged():
            return replace(
                state,
                definition=event.definition,
                configuration=event.configuration,
                plan=event.plan,
                due_since=state.due_since if _same_times(state.plan, event.plan) else at,
            )
        case job_events.JobPaused():
            return replace(state, status="paused")
        case job_events.JobResumed():
            return replace(state, status="enabled", due_since=at)
        case job_events.JobDeleted():
            return replace(state, status="deleted")
        case _:
            return state


def _same_times(one: Plan, other: Plan) -> bool:
    return (one.cron, one.timezone) == (other.cron, other.timezone)


def decide(state: CronJob | None, command: JobCommand) -> tuple[Envelope, ...]:
    """Return what happens because of `command`, in the order in which it is recorded.

    An empty decision means that it has happened already. Raises a `Refusal` if the rules forbid
    it. All envelopes of one decision belong in one transaction.
    """
    if isinstance(command, job_commands.CreateJob):
        return _create(state, command)
    is_erasure = isinstance(command, job_commands.EraseJob)
    if state is None or (state.status == "deleted" and not is_erasure):
        raise errors.JobNotFound
    if command.expected_version not in (None, state.version):
        raise errors.JobChangedMeanwhile(version=state.version)
    match command:
        case job_commands.ChangeJob():
            return _change(state, command)
        case job_commands.PauseJob():
            return _told(state, command, *_paused(state))
        case job_commands.ResumeJob():
            return _told(state, command, *_resumed(state))
        case job_commands.DeleteJob():
            return _told(state, command, job_events.JobDeleted())
        case job_commands.EraseJob():
            return _told(state, command, *_erased(state, command))
        case job_commands.RunJob():
            return (_run(state, command),)


def _create(state: CronJob | None, command: job_commands.CreateJob) -> tuple[Envelope, ...]:
    if state is not None and state.status != "deleted":
        raise errors.JobExists
    created = job_events.JobCreated(
        job_id=command.job_id,
        definition=command.definition,
        configuration=command.configuration,
        plan=command.plan,
    )
    told: list[JobEvent] = [created]
    if not command.is_enabled:
        told.append(job_events.JobPaused())
    return _told(state, command, *told)


def _change(state: CronJob, command: job_commands.ChangeJob) -> tuple[Envelope, ...]:
    changed = job_events.JobChanged(command.definition, command.configuration, command.plan)
    told: list[JobEvent] = []
    if changed != job_events.JobChanged(state.definition, state.configuration, state.plan):
        told.append(changed)
    if command.is_enabled is not None:
        told += _resumed(state) if command.is_enabled else _paused(state)
    return _told(state, command, *told)


def _paused(state: CronJob) -> tuple[JobEvent, ...]:
    return (job_events.JobPaused(),) if state.status == "enabled" else ()


def _resumed(state: CronJob) -> tuple[JobEvent, ...]:
    return (job_events.JobResumed(),) if state.status == "paused" else ()


def _erased(state: CronJob, command: job_commands.EraseJob) -> tuple[JobEvent, ...]:
    in_use = {state.definition.sha256, state.configuration.sha256}
    if state.status == "deleted":
        in_use = set()
    bodies = tuple(digest for digest in command.bodies if digest not in in_use)
    return (job_events.JobBodiesErased(command.reason, bodies),) if bodies else ()


def _run(state: CronJob, command: job_commands.RunJob) -> Envelope:
    return Envelope(
        originator_id=command.new_id,
        originator_version=1,
        at=command.at,
        actor=command.by,
        command_id=command.command_id,
        correlation_id=command.new_id,
        event=born(state, command.new_id, triggered_by="manual"),
    )


def born(
    state: CronJob,
    execution_id: UUID,
    *,
    triggered_by: events.TriggeredBy,
    scheduled_for: datetime | None = None,
    held: events.HeldReason | None = None,
) -> events.Created:
    """Return the beginning of an execution of this job, with its configuration as it is now."""
    return events.Created(
        job_id=state.job_id,
        configuration=state.configuration,
        triggered_by=triggered_by,
        timeout_seconds=state.plan.timeout_seconds,
        attempt=1,
        root_id=execution_id,
        scheduled_for=scheduled_for,
        pinned_agent_id=state.plan.pinned_agent_id,
        labels=state.plan.labels,
        start_deadline_seconds=state.plan.start_deadline_seconds,
        held=held,
    )


def _told(state: CronJob | None, command: JobCommand, *told: JobEvent) -> tuple[Envelope, ...]:
    version = 0 if state is None else state.version
    return tuple(
        Envelope(
            originator_id=command.stream_id,
            originator_version=number,
            at=command.at,
            actor=command.by,
            command_id=command.command_id,
            correlation_id=command.stream_id,
            event=event,
        )
        for number, event in enumerate(told, version + 1)
    )
