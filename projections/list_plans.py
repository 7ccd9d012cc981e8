"""Which stretches of which index answer a filter, and what is counted ahead of it. Pure."""

import itertools
from collections.abc import Collection
from typing import Final, TypeAlias
from uuid import UUID

from msgspec import Struct

from domain import ids
from projections import totals
from projections.queries import Filter
from store.roundtrip import text_array

Parameters: TypeAlias = tuple[bytes, ...]

# More stretches than all statuses with all triggers have are read one by one, however deep.
MERGED_MAX: Final = len(totals.PLACES)
_UNFINISHED: Final = ("pending", "running")
_LOWEST: Final = UUID(int=0)
_BEYOND: Final = UUID(int=(1 << 128) - 1)


class Plan(Struct, frozen=True):
    """How a filter is answered: by which statements, and with which parameters after the first two.

    `counted` are those of the count, which a cursor does not narrow. `ranged` filters have no
    counters. `merged` has a value of each column for each of the `stretches`, None if these are too
    many.
    `hours` are a job and statuses, of which what ended is counted by the hour, None if the filter
    chooses several jobs or times. What is chosen and in no hour, since it has not ended, is
    `uncounted`; what is in hours by other triggers is `others`.
    """

    shape: str
    listed: Parameters
    counted: Parameters
    jobs: tuple[str, ...]
    places: tuple[int, ...]
    uncounted: Filter | None
    others: Filter | None
    ranged: bool
    stretches: int
    merged: Parameters | None
    hours: Parameters | None


def plan(chosen: Filter) -> Plan:
    """Return how `chosen` is answered. Pure."""
    jobs = tuple(sorted(set(chosen.job_id)))
    statuses = tuple(sorted(set(chosen.status or totals.STATUSES)))
    triggers = tuple(sorted(set(chosen.triggered_by or totals.TRIGGERS)))
    columns: tuple[tuple[str, ...], ...]
    if len(statuses) < len(totals.STATUSES) or len(triggers) < len(totals.TRIGGERS):
        shape = "jobs_and_statuses" if jobs else "statuses"
        columns = (statuses, triggers, jobs) if jobs else (statuses, triggers)
    else:
        shape = "jobs" if jobs else "all"
        columns = (jobs,) if jobs else ()
    values = tuple(text_array(column) for column in columns)
    lowest = ids.lowest_at(chosen.created_from) if chosen.created_from else _LOWEST
    beyond = ids.lowest_at(chosen.created_to) if chosen.created_to else _BEYOND
    before = min(beyond, chosen.before) if chosen.before else beyond
    ranged = chosen.created_from is not None or chosen.created_to is not None
    stretches = list(itertools.product(*columns))
    merged = None
    if len(stretches) <= MERGED_MAX:
        merged = tuple(text_array(column) for column in zip(*stretches, strict=True))
    unfinished = tuple(status for status in _UNFINISHED if status in statuses)
    ended = tuple(status for status in statuses if status not in _UNFINISHED)
    beside = tuple(trigger for trigger in totals.TRIGGERS if trigger not in triggers)
    hours = None
    if len(jobs) <= 1 and not ranged and chosen.before is None:
        hours = ((jobs[0] if jobs else totals.ALL_JOBS).encode(), text_array(ended))
    return Plan(
        shape=shape,
        listed=(bound(lowest), bound(before), *values),
        counted=(bound(lowest), bound(beyond), *values),
        jobs=jobs,
        places=places_of(statuses, triggers),
        uncounted=Filter(jobs, unfinished, triggers) if unfinished else None,
        others=Filter(jobs, ended, beside) if ended and beside else None,
        ranged=ranged,
        stretches=len(stretches),
        merged=merged,
        hours=hours,
    )


def places_of(statuses: Collection[str], triggers: Collection[str]) -> tuple[int, ...]:
    """Return where the counts of these stand in a row of totals."""
    return tuple(
        place
        for (status, trigger), place in totals.PLACES.items()
        if status in statuses and trigger in triggers
    )


def bound(value: UUID) -> bytes:
    """Return an id as the bound of a stretch."""
    return str(value).encode()
