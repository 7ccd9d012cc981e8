"""Last night: which jobs failed or did not run, and why; and all that ran, in time."""

from datetime import datetime, timedelta
from typing import Final

from litestar import get
from litestar.types import ASGIApp
from msgspec import Struct

from api import parameters, rendering, wire
from api.ledger import Ledger, of
from api.pages import charts, directory, door, rendered, words
from api.pages.charts import Lane, Tick
from api.pages.history import shared_of
from api.pages.rendered import Req
from api.pages.shared import Shared
from domain import ids
from domain.shown_text import shown
from projections import overview, runs
from projections.queries import Filter, View
from projections.runs import Run
from store import configurations

HOURS: Final = (6, 12, 24, 48)
_HOURS_DEFAULT: Final = 12
_SECONDS: Final = 3.0
_RUNS_MAX: Final = 3000
_TROUBLES_MAX: Final = 100
_LANES_MAX: Final = 40
_ERROR_CHARACTERS: Final = 200
_TELLING: Final = frozenset({"success", *words.BAD})


class Trouble(Struct, frozen=True):
    """A job of which something went wrong: its newest failure, and how it goes since."""

    job_id: str
    name: str
    execution_id: str
    status: str
    reason: str
    last_line: str
    at: str
    ago: str
    count: int
    now_status: str
    now_id: str
    may_retry: bool


class Absence(Struct, frozen=True):
    """A job that should have run and did not."""

    job_id: str
    name: str
    schedule: str
    due: str
    ago: str
    last_id: str
    last_status: str
    last_ago: str


class Night(Struct, frozen=True):
    """What a stretch of hours looked like."""

    hours: int
    open: list[Trouble]
    mended: list[Trouble]
    absent: list[Absence]
    lanes: list[Lane]
    ticks: list[Tick]
    height: int
    jobs: int
    runs: int
    is_cut: bool


@get("/night", exception_handlers={Exception: rendered.respond})
async def night(request: Req) -> ASGIApp:
    """Show what went wrong in the last hours, and what ran."""
    seen_by = await door.visitor(request)
    values = parameters.query(request, ("hours", "part", "after"))
    hours = parameters.integer(values, "hours", _HOURS_DEFAULT, 1, 168)
    part = values.get("part", [""])[0]
    shared, ledger = shared_of(request), of(request)
    found = await shared.get(("night", hours), _SECONDS, lambda: _night(shared, ledger, hours))
    return rendered.page(
        "night.html",
        seen_by,
        block=part if part in {"summary", "list"} else None,
        here="/night",
        night=found,
        choices=HOURS,
        charts=charts,
    )


async def _night(shared: Shared, ledger: Ledger, hours: int) -> Night:
    now = wire.now()
    begin = now - timedelta(hours=hours)
    names = {job.job_id: directory.name_of(job) for job in await directory.everyone(shared, ledger)}
    ran = await runs.since(ledger.pool, begin, _RUNS_MAX)
    chosen = Filter(status=tuple(sorted(words.BAD)), created_from=begin)
    bad = await ledger.lists.page(chosen, limit=_TROUBLES_MAX, offset=0)
    missed = await overview.missed(ledger.pool, now)
    by_job: dict[str, list[Run]] = {}
    for run in ran:
        by_job.setdefault(run.job_id, []).append(run)
    troubles = _troubles(bad.rows, by_job, now)
    # Retries are jobs' own affair: a job is well again as soon as its newest run is.
    open_ones = [trouble for trouble in troubles if trouble.now_status != "success"]
    worst = {trouble.job_id: place for place, trouble in enumerate(troubles)}
    ordered = sorted(
        by_job, key=lambda job_id: (worst.get(job_id, len(worst)), names.get(job_id, job_id))
    )
    shown_jobs = ordered[:_LANES_MAX]
    lanes = charts.lanes(
        [(job_id, names.get(job_id, job_id), by_job[job_id]) for job_id in shown_jobs], begin, now
    )
    return Night(
        hours=hours,
        open=open_ones,
        mended=[trouble for trouble in troubles if trouble.now_status == "success"],
        absent=[_absence(one, now) for one in missed],
        lanes=lanes,
        ticks=charts.ticks(begin, now),
        height=len(lanes) * charts.LANE_HEIGHT + 24,
        jobs=len(by_job),
        runs=len(ran),
        is_cut=len(ran) >= _RUNS_MAX or len(by_job) > len(lanes),
    )


def _troubles(bad: list[View], by_job: dict[str, list[Run]], now: datetime) -> list[Trouble]:
    """Return one entry a job, of its newest failure, newest first."""
    found: dict[str, list[View]] = {}
    for view in bad:
        found.setdefault(view.row.job_id, []).append(view)
    troubles = []
    for job_id, views in found.items():
        newest = by_job.get(job_id, [])
        # What still runs, or was canceled, says nothing yet.
        ended = (run for run in newest if run.status in _TELLING)
        last = next(ended, None)
        troubles.append(_trouble(views, last, now))
    return troubles


def _trouble(views: list[View], last: Run | None, now: datetime) -> Trouble:
    view = views[0]
    row = view.row
    created_at = ids.created_at(row.id)
    job = configurations.shown(view.texts.configuration)
    # Without any the API says the reason again.
    has_own_words = bool(view.texts.stderr.preview) or view.texts.message is not None
    return Trouble(
        job_id=row.job_id,
        name=job.job_name or words.ERASED,
        execution_id=ids.to_text(ids.EXECUTION, row.id),
        status=row.status,
        reason=words.reason(view),
        last_line=_last_line(rendering.execution(view, now).error) if has_own_words else "",
        at=words.clock(created_at),
        ago=words.ago(created_at, now),
        count=len(views),
        now_status=last.status if last is not None else row.status,
        now_id=ids.to_text(ids.EXECUTION, last.id if last is not None else row.id),
        may_retry=row.retried_as is None,
    )


def _last_line(error: str | None) -> str:
    """Return the end of an error log, where it says what is wrong, without anything that acts."""
    lines = [line.strip() for line in (error or "").splitlines() if line.strip()]
    last = shown(lines[-1].encode(), plain=True) if lines else ""
    return last[-_ERROR_CHARACTERS:]


def _absence(one: overview.Missed, now: datetime) -> Absence:
    return Absence(
        job_id=one.job_id,
        name=one.job_name,
        schedule=f"{one.schedule} {one.time_zone or 'UTC'}",
        due=words.clock(one.due_at)[:16],
        ago=words.ago(one.due_at, now),
        last_id=ids.to_text(ids.EXECUTION, one.last_id),
        last_status=one.last_status,
        last_ago=words.ago(ids.created_at(one.last_id), now),
    )


HANDLERS: Final = (night,)
