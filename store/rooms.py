"""What a batch knows of schedules and of what is active: read under the lock, kept up to date.

Only batches that hold works of the scheduler (or runs by hand) read any of it.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from domain import due, ids
from domain.due import Room
from domain.due_commands import Due, Release, Settle
from domain.events import Created, Envelope
from domain.execution import Execution
from domain.job import CronJob
from domain.job_commands import RunJob
from domain.streams import State

LOOK_NOW: Final = "-infinity"


class Activity(Struct):
    """What is active of one job; `ids` only of jobs that cancel what runs."""

    id: UUID
    job_id: str
    tags: Sequence[str] | None
    active: int
    held: int
    newest: UUID | None
    ids: Sequence[UUID] | None = None


class ScheduleWrite(Struct):
    """What is written of schedules in one transaction (sql/write_schedules.sql)."""

    settled: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    changed: dict[UUID, datetime] = field(default_factory=dict)
    held: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    unheld: list[UUID] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Tell whether there is anything to write."""
        return bool(self.settled or self.changed or self.held or self.unheld)

    def parameters(self) -> list[bytes | None]:
        """Return the statement's parameters in order."""
        changed = [{"id": one, "since": since} for one, since in self.changed.items()]
        parts = (list(self.settled.values()), changed, list(self.held.values()), self.unheld)
        return [msgspec.json.encode(part) if part else None for part in parts]


def crowded(command: object) -> UUID | None:
    """Return the job of which it must be known what is active to judge this, None if of none."""
    match command:
        case Release() | RunJob():
            return command.stream_id
        case Settle():
            is_due = any(isinstance(one, Due) for one in command.verdicts)
            return command.stream_id if command.is_limited and is_due else None
        case _:
            return None


class Rooms:
    """Judges what the scheduler asks, for one batch."""

    def __init__(
        self,
        settled: Mapping[UUID, datetime],
        activity: Iterable[Activity],
        now: datetime,
    ) -> None:
        self._settled = dict(settled)
        self._activity = {one.job_id: one for one in activity}
        self._now = now
        self.write = ScheduleWrite()

    def decide(
        self,
        command: Settle | Release,
        states: Mapping[UUID, State | None],
        unreadable: Container[UUID],
    ) -> tuple[Envelope, ...]:
        """Return what happens because of `command`. Raises a `Refusal`."""
        owner = states.get(command.stream_id)
        job = owner if isinstance(owner, CronJob) else None
        room = self._room(job, states)
        if isinstance(command, Release):
            state = states.get(command.execution_id)
            return due.release(state if isinstance(state, Execution) else None, job, command, room)
        if self._settled.get(command.stream_id) != command.settled_before:
            return ()  # another has settled these times meanwhile

        def is_taken(stream: UUID) -> bool:
            return states.get(stream) is not None or stream in unreadable

        return due.settle(job, command, room, is_taken)

    def held(self, job: State | None, born: Envelope) -> Envelope:
        """Return the beginning of a run by hand, held if there is no room for it."""
        if not isinstance(job, CronJob) or not isinstance(born.event, Created):
            return born
        reason = due.hold(job.plan, self._room(job, {}))
        return born if reason is None else replace(born, event=replace(born.event, held=reason))

    def _room(self, job: CronJob | None, states: Mapping[UUID, State | None]) -> Room:
        found = None if job is None else self._activity.get(job.job_id)
        if found is None or job is None:
            return Room()
        tags = job.plan.max_concurrent_per_tag
        active = (states.get(one) for one in found.ids or ())
        return Room(
            active_count=found.active,
            held_count=found.held,
            newest=found.newest,
            per_tag={tag: self._active_with(tag) for tag in tags},
            active=tuple(s for s in active if isinstance(s, Execution) and not s.completed_at),
        )

    def _active_with(self, tag: str) -> int:
        return sum(one.active for one in self._activity.values() if tag in (one.tags or ()))

    # ----------------------------------------------------------------------- what was decided

    def carried_out(self, command: object) -> None:
        """Note how far times are settled now, after the command was judged."""
        if not isinstance(command, Settle):
            return
        one = command.stream_id
        if self._settled.get(one) != command.settled_before:
            return
        self._settled[one] = command.settled_until
        self.write.settled[one] = {
            "id": one,
            "settled_until": command.settled_until,
            "look_at": command.look_at,
        }

    def changed(self, before: State | None, after: State | None) -> None:
        """Note what a command changes: who is active, who is held, which job to look at again."""
        if isinstance(after, CronJob):
            settled = self.write.settled.get(after.id)
            if settled is not None:
                settled["look_at"] = LOOK_NOW
            else:
                self.write.changed.setdefault(after.id, after.due_since)
        elif isinstance(after, Execution):
            was = before if isinstance(before, Execution) else None
            self._changed(was, after)

    def _changed(self, before: Execution | None, after: Execution) -> None:
        was_held, is_held = _is_held(before), _is_held(after)
        if is_held and not was_held:
            self.write.held[after.id] = self._held_row(after)
        elif was_held and not is_held and self.write.held.pop(after.id, None) is None:
            self.write.unheld.append(after.id)
        found = self._activity.get(after.job_id)
        if found is None:
            return
        found.held += is_held - was_held
        found.active += _is_active(after) - _is_active(before)
        if before is None:
            found.newest = after.id
            if found.ids is not None:
                found.ids = [*found.ids, after.id]

    def _held_row(self, state: Execution) -> dict[str, Any]:
        return {
            "execution_id": state.id,
            "id": ids.job_stream(state.job_id),
            "start_seconds": start_seconds(state, self._now),
        }


def start_seconds(state: Execution, now: datetime) -> float | None:
    """Return for how long an execution may still wait, None for ever.

    Of one that a schedule made the deadline counts from the time at which it was due.
    """
    if state.start_deadline_seconds is None:
        return None
    if state.triggered_by != "scheduled" and state.version == 1:
        return state.start_deadline_seconds
    waited = (now - ids.created_at(state.id)).total_seconds()
    return max(0.0, state.start_deadline_seconds - max(0.0, waited))


def _is_held(state: Execution | None) -> bool:
    return state is not None and state.status == "pending" and state.held is not None


def _is_active(state: Execution | None) -> bool:
    return state is not None and state.status in {"pending", "running"} and not _is_held(state)
