"""What becomes of a due time: it runs, it waits, it is skipped, or it was missed.

`verdicts` is what can be said from the clock alone, before the ledger is asked; `settle` judges
under the lock, where it is known what else is active. Pure.
"""

import hashlib
from collections.abc import Callable, Container, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import replace

from domain import commands, errors, events, execution_rules, job
from domain.due_commands import Due, Missed, Release, Settle, Verdict
from domain.due_events import DueEvent, MissedReason, SkippedReason, TimeSkipped, TimesMissed
from domain.events import Envelope, Happened, HeldReason
from domain.execution import Execution
from domain.job import CronJob
from domain.job_events import Plan

# A run that begins so late is on time; one that comes later was missed.
GRACE: Final = timedelta(seconds=60)
# How many executions of a job may wait for others to end (run_all may need more).
HELD_MAX: Final = 10


# ------------------------------------------------------------------------- times without a run


class PassedTimes(Struct, frozen=True):
    """Due times on which nothing ran, all that the ledger says of them."""

    id: UUID
    version: int
    job_id: str
    kind: Literal["missed", "skipped"]
    first_due_at: datetime
    last_due_at: datetime
    count: int | None
    reason: MissedReason | SkippedReason
    blocked_by: UUID | None = None


def evolve(state: PassedTimes | None, happened: Happened) -> PassedTimes | None:
    """Return the state after one more event. Never raises: what happened has happened."""
    event, known = happened.event, (happened.originator_id, happened.originator_version)
    match event:
        case TimesMissed():
            return PassedTimes(
                *known,
                job_id=event.job_id,
                kind="missed",
                first_due_at=event.first_due_at,
                last_due_at=event.last_due_at,
                count=event.count,
                reason=event.reason,
            )
        case TimeSkipped():
            return PassedTimes(
                *known,
                job_id=event.job_id,
                kind="skipped",
                first_due_at=event.due_at,
                last_due_at=event.due_at,
                count=1,
                reason=event.reason,
                blocked_by=event.blocked_by,
            )
        case _:
            return state


# ----------------------------------------------------------------------------- before the lock


class Time(Struct, frozen=True):
    """One due time that has come; `fires_at` is later by its jitter, `job` is the job at that time.

    If it stands for several, up to `last_due_at`, they were too many to count.
    """

    execution_id: UUID
    due_at: datetime
    fires_at: datetime
    job: CronJob
    last_due_at: datetime | None = None


def jittered(
    stream_id: UUID, due_at: datetime, jitter_seconds: int | None, following: datetime | None
) -> datetime:
    """Return when a due time is acted on: always the same moment, and before the next due time."""
    if jitter_seconds is None:
        return due_at
    spread = timedelta(seconds=jitter_seconds)
    if following is not None:
        spread = min(spread, following - due_at)
    said = b"jitter" + stream_id.bytes + due_at.isoformat().encode()
    part = int.from_bytes(hashlib.sha256(said).digest()[:6], "big")
    milliseconds = (spread // timedelta(milliseconds=1)) * part >> 48
    return due_at + timedelta(milliseconds=milliseconds)


def verdicts(times: Sequence[Time], current: CronJob, now: datetime) -> tuple[Verdict, ...]:
    """Return what becomes of these times, in order, as far as the clock decides it."""
    reasons = [_gone(time, current, now) for time in times]
    late = [n for n, time in enumerate(times) if now - time.fires_at > GRACE]
    made_up = [n for n in late if reasons[n] is None and times[n].last_due_at is None]
    on_time = {n for n, reason in enumerate(reasons) if reason is None} - set(late)
    match current.plan.missed_policy:
        case "run_all":
            chosen = made_up[-(current.plan.missed_limit or 1) :]
        case "run_once":
            # A run that is on time makes up for those before it.
            chosen = [] if on_time else made_up[-1:]
        case "skip":
            chosen = []
    runs = on_time.union(chosen)
    found: list[Verdict] = []
    for number, (time, reason) in enumerate(zip(times, reasons, strict=True)):
        if number in runs:
            found.append(Due(time.execution_id, time.due_at, time.job))
        else:
            _miss(found, time, reason or "downtime")
    return tuple(found)


def _gone(time: Time, current: CronJob, now: datetime) -> MissedReason | None:
    """Return why nothing may begin at this time any more, None if it still may."""
    for state in (current, time.job):
        if state.status != "enabled":
            return state.status
    deadline = current.plan.start_deadline_seconds
    if deadline is not None and now - time.fires_at > timedelta(seconds=deadline):
        return "start_deadline"
    return None


def _miss(found: list[Verdict], time: Time, reason: MissedReason) -> None:
    last, count = time.last_due_at or time.due_at, 1 if time.last_due_at is None else None
    before = found[-1] if found else None
    if isinstance(before, Missed) and before.reason == reason:
        count = None if None in (before.count, count) else (before.count or 0) + 1
        found[-1] = replace(before, last_due_at=last, count=count)
    else:
        found.append(Missed(time.execution_id, time.due_at, last, reason, count))


# ------------------------------------------------------------------------------- under the lock


class Room(Struct):
    """What is active of a job (and of each tag), counted under the lock.

    `held` ones wait for the others to end. `active` holds the executions themselves where the job
    cancels what runs; `newest` is one of all of them.
    """

    active_count: int = 0
    held_count: int = 0
    newest: UUID | None = None
    per_tag: dict[str, int] = field(default_factory=dict)
    active: tuple[Execution, ...] = ()


def is_limited(plan: Plan) -> bool:
    """Tell whether it matters what else is active when this job is due."""
    return (
        plan.overlap_policy != "allow"
        or plan.max_concurrent is not None
        or bool(plan.max_concurrent_per_tag)
    )


def limit(plan: Plan, room: Room) -> HeldReason | None:
    """Return what keeps one more execution of this job from beginning, None if nothing does."""
    if plan.max_concurrent is not None and room.active_count >= plan.max_concurrent:
        return "max_concurrent"
    for tag, most in plan.max_concurrent_per_tag.items():
        if room.per_tag.get(tag, 0) >= most:
            return "max_concurrent_per_tag"
    return None


def former_configurations(command: Settle) -> set[str]:
    """Return what these times run that the job may have no more, so that it may be erased."""
    return {
        one.job.configuration.sha256
        for one in command.verdicts
        if isinstance(one, Due) and one.job.version != command.expected_version
    }


def without_erased(command: Settle, gone: Container[str]) -> Settle:
    """Return `command` with those times missed of which nobody knows any more what they run."""
    verdicts = (
        Missed(one.execution_id, one.due_at, one.due_at, "downtime", 1)
        if isinstance(one, Due) and one.job.configuration.sha256 in gone
        else one
        for one in command.verdicts
    )
    return replace(command, verdicts=tuple(verdicts))


def settle(
    state: CronJob | None, command: Settle, room: Room, is_taken: Callable[[UUID], bool]
) -> tuple[Envelope, ...]:
    """Return what happens because these times have come.

    `is_taken` tells whether a stream has a beginning already: then that time has its fact. Raises
    `JobChangedMeanwhile` if the job is another by now.
    """
    if state is None:
        raise errors.JobNotFound
    if command.expected_version != state.version:
        raise errors.JobChangedMeanwhile(version=state.version)
    told: list[Envelope] = []
    runs = [verdict for verdict in command.verdicts if isinstance(verdict, Due)]
    for verdict in command.verdicts:
        if isinstance(verdict, Missed):
            if not is_taken(verdict.stream_id):
                told.append(_envelope(command, verdict.stream_id, _missed(state, verdict)))
        elif not is_taken(verdict.execution_id):
            told += _due(state, command, verdict, room, is_last=verdict is runs[-1])
    return tuple(told)


def _missed(state: CronJob, verdict: Missed) -> TimesMissed:
    return TimesMissed(
        job_id=state.job_id,
        first_due_at=verdict.first_due_at,
        last_due_at=verdict.last_due_at,
        reason=verdict.reason,
        count=verdict.count,
    )


def _due(state: CronJob, command: Settle, due: Due, room: Room, *, is_last: bool) -> list[Envelope]:
    plan, canceled = state.plan, list[Envelope]()
    is_busy = room.active_count + room.held_count > 0
    if plan.overlap_policy == "cancel_running" and not is_last:
        # The next one, already due, would cancel it at once.
        return [_skipped(state, command, due, room, "overlap")]
    if is_busy and plan.overlap_policy == "skip":
        return [_skipped(state, command, due, room, "overlap")]
    if is_busy and plan.overlap_policy == "cancel_running":
        canceled = _cancel_all(command, room)
    held = _held(plan, room)
    held_max = max(HELD_MAX, plan.missed_limit or 0)
    if held is not None and room.held_count >= held_max:
        return [*canceled, _skipped(state, command, due, room, "queue_full")]
    created = job.born(
        due.job, due.execution_id, triggered_by="scheduled", scheduled_for=due.due_at, held=held
    )
    _count(plan, room, due.execution_id, held)
    return [*canceled, _envelope(command, due.execution_id, created)]


def _held(plan: Plan, room: Room) -> HeldReason | None:
    is_busy = room.active_count + room.held_count > 0
    if is_busy and plan.overlap_policy in {"queue", "cancel_running"}:
        return "overlap"
    reason = limit(plan, room)
    # Nobody overtakes those that wait already.
    if reason is None and room.held_count and is_limited(plan):
        return "max_concurrent" if plan.max_concurrent is not None else "max_concurrent_per_tag"
    return reason


def _count(plan: Plan, room: Room, execution_id: UUID, held: HeldReason | None) -> None:
    room.newest = execution_id
    if held is not None:
        room.held_count += 1
        return
    room.active_count += 1
    for tag in plan.tags:
        room.per_tag[tag] = room.per_tag.get(tag, 0) + 1


def _skipped(
    state: CronJob, command: Settle, due: Due, room: Room, reason: SkippedReason
) -> Envelope:
    event = TimeSkipped(state.job_id, due.due_at, reason, blocked_by=room.newest)
    return _envelope(command, due.execution_id, event)


def _cancel_all(command: Settle, room: Room) -> list[Envelope]:
    """Cancel what is active; afterwards only what an agent has yet to end is."""
    told: list[Envelope] = []
    for state in room.active:
        cancel = commands.Cancel(command.at, command.by, command.command_id, state.id)
        told += execution_rules.decide(state, cancel)
    running = [state for state in room.active if state.status == "running"]
    room.active_count, room.held_count = len(running), 0
    return told


def hold(plan: Plan, room: Room) -> HeldReason | None:
    """Return why an execution that somebody asks for by hand has to wait, None if it need not."""
    return limit(plan, room)


def release(
    state: Execution | None, owner: CronJob | None, command: Release, room: Room
) -> tuple[Envelope, ...]:
    """Return that a held execution goes to the agents; nothing if it must wait on, or need not."""
    if state is None or state.status != "pending" or state.held is None:
        return ()
    # What a deleted job left behind waits by the rules that it had: of what must not run at once.
    if owner is not None:
        waits_for_all = owner.plan.overlap_policy in {"queue", "cancel_running"}
        if waits_for_all and room.active_count:
            return ()
        if limit(owner.plan, room) is not None:
            return ()
    released = Envelope(
        originator_id=state.id,
        originator_version=state.version + 1,
        at=command.at,
        actor=command.by,
        command_id=command.command_id,
        correlation_id=state.root_id,
        event=events.Released(),
    )
    return (released,)


def _envelope(command: Settle, stream_id: UUID, event: events.Created | DueEvent) -> Envelope:
    return Envelope(
        originator_id=stream_id,
        originator_version=1,
        at=command.at,
        actor=command.by,
        command_id=command.command_id,
        correlation_id=stream_id,
        event=event,
    )


def streams_of(command: Settle | Release) -> Iterable[UUID]:
    """Return the streams whose histories decide about this."""
    if isinstance(command, Release):
        return (command.stream_id, command.execution_id)
    facts = (
        one.stream_id if isinstance(one, Missed) else one.execution_id for one in command.verdicts
    )
    return (command.stream_id, *facts)
