"""Which times of a job have come: from its history and the clock, by the definition valid then."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from uuid import UUID

from msgspec import Struct

from domain import due, ids, job
from domain.due import Time
from domain.due_commands import Settle
from domain.events import Happened
from domain.job import CronJob
from projections.schedules import Times, zone

# Beyond that many times in one go the ones in the middle are not looked at one by one.
COUNT_MAX: Final = 200
_WINDOW: Final = timedelta(hours=1)


class _Step(Struct, frozen=True):
    """A due time and the next one; or many times, from `at` to `last`, that were not counted."""

    at: datetime
    following: datetime | None
    last: datetime | None = None


class Period(Struct, frozen=True):
    """A definition of a job, valid after `start` and up to `end` (None if it still is)."""

    job: CronJob
    start: datetime
    end: datetime | None


def settlement(
    history: Sequence[Happened],
    settled_until: datetime,
    now: datetime,
    *,
    by: str,
    command_id: UUID,
) -> Settle | None:
    """Return what is to be said of a job's times, None if there was no such job.

    Costs some 500 µs, and more after a long gap. Never raises for a history that can be read.
    """
    periods = periods_of(history)
    if not periods:
        return None
    times, look_at = come(periods, settled_until, now)
    current = periods[-1].job
    last = times[-1] if times else None
    return Settle(
        at=now,
        by=by,
        command_id=command_id,
        stream_id=current.id,
        expected_version=current.version,
        settled_before=settled_until,
        settled_until=settled_until if last is None else last.last_due_at or last.due_at,
        look_at=look_at,
        is_limited=due.is_limited(current.plan),
        verdicts=due.verdicts(times, current, now),
    )


def periods_of(history: Sequence[Happened]) -> list[Period]:
    """Return the definitions of a job one after the other, as its events tell them."""
    states: list[tuple[datetime, CronJob]] = []
    state: CronJob | None = None
    for happened in history:
        state = job.evolve(state, happened)
        if state is not None:
            # Servers' clocks differ: an event counts from when the one before it did, at least.
            at = max(happened.at, states[-1][0]) if states else happened.at
            states.append((at, state))
    ends = [at for at, _ in states[1:]]
    return [Period(one, at, end) for (at, one), end in itertools.zip_longest(states, ends)]


def come(
    periods: Sequence[Period], settled_until: datetime, now: datetime
) -> tuple[list[Time], datetime | None]:
    """Return the times after `settled_until` that have come by `now`, and when to look again.

    They come in order: one that waits for its jitter lets those after it wait too.
    """
    found: list[Time] = []
    for period in periods:
        plan = period.job.plan
        if period.job.status != "enabled" or plan.cron is None:
            continue
        if period.end is not None and period.end <= settled_until:
            continue
        start = max(settled_until, period.start)
        until = now if period.end is None else min(now, period.end)
        steps = _steps(plan.cron, plan.timezone, start, until, plan.missed_limit or 1)
        for step in steps:
            if step.at > until:
                break
            fires_at = _fires_at(period.job, step)
            if fires_at > now:
                return found, fires_at
            one = ids.execution_due(period.job.id, step.at, fires_at)
            then = _valid_at(periods, fires_at)
            found.append(Time(one, step.at, fires_at, then, step.last))
        if period.end is None and steps:
            return found, _fires_at(period.job, steps[-1])
    return found, None


def _fires_at(owner: CronJob, step: _Step) -> datetime:
    return due.jittered(owner.id, step.at, owner.plan.jitter_seconds, step.following)


def _valid_at(periods: Sequence[Period], moment: datetime) -> CronJob:
    valid = [period.job for period in periods if period.start < moment]
    return valid[-1] if valid else periods[0].job


def _steps(cron: str, time_zone: str, start: datetime, until: datetime, tail: int) -> list[_Step]:
    """Return the times after `start` up to `until`, and one more; of very many the last ones."""
    first, second = _first(cron, time_zone, start)
    if first > until:
        return [_Step(first, second)]
    if second > until:
        return [_Step(first, second), _Step(second, _first(cron, time_zone, first)[1])]
    some: list[datetime] = []
    for at in _after(cron, time_zone, start):
        some.append(at)
        if len(some) > 1 and some[-2] > until:
            return _stepped(some)
        if len(some) > COUNT_MAX:
            break
    last = _last(cron, time_zone, start, until, tail + 3)
    if last[0] <= some[0]:
        return _stepped(last)
    return [_Step(some[0], some[1], last=last[0]), *_stepped(last)[1:]]


def _stepped(times: Sequence[datetime]) -> list[_Step]:
    """Return all but the last one, each with what follows it."""
    return [_Step(at, after) for at, after in itertools.pairwise(times)]


def _last(
    cron: str, time_zone: str, start: datetime, until: datetime, count: int
) -> list[datetime]:
    """Return the last `count` times up to `until`, and two after it."""
    window = _WINDOW
    while True:
        found = between(cron, time_zone, max(start, until - window), until)
        if len(found) >= count or until - window <= start:
            break
        window *= 2
    return [*found[-count:], *_first(cron, time_zone, until)]


@lru_cache(maxsize=20_000)
def _first(cron: str, time_zone: str, start: datetime) -> tuple[datetime, ...]:
    """Return the first two times after `start`; many jobs share a schedule."""
    return tuple(itertools.islice(_after(cron, time_zone, start), 2))


def _after(cron: str, time_zone: str, start: datetime) -> Iterator[datetime]:
    """Yield the times after `start`, in UTC and rising.

    Begun in an hour that comes twice, cronsim names times of its first coming too.
    """
    last = start
    for local in Times(cron, start.astimezone(zone(time_zone) or UTC)):
        at = local.astimezone(UTC)
        if at > last:
            last = at
            yield at


def between(cron: str, time_zone: str, after: datetime, until: datetime) -> list[datetime]:
    """Return all due times after `after` up to `until`, in UTC."""
    return list(itertools.takewhile(lambda at: at <= until, _after(cron, time_zone, after)))
