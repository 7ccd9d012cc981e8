"""Jobs: how each one's last runs went, how long they took, and when the next is due."""

from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from litestar import get
from litestar.types import ASGIApp
from msgspec import Struct

from api import parameters, wire
from api.ledger import Ledger, of
from api.pages import charts, directory, door, rendered, words
from api.pages.charts import Spark, Strip
from api.pages.history import shared_of
from api.pages.rendered import Req
from api.pages.shared import Shared
from domain import ids
from projections import overview, runs, schedules
from projections.overview import Missed
from projections.runs import Run, SeenJob

_PAGE: Final = 50
_SECONDS: Final = 3.0


class Card(Struct, frozen=True):
    """What the page shows of one job."""

    job_id: str
    name: str
    status: str
    last_id: str
    last_at: str
    last_ago: str
    strip: Strip
    spark: Spark | None
    success_rate: int | None
    last_duration: str
    schedule: str
    next_at: str
    next_in: str
    missed_at: str


class Cards(Struct, frozen=True):
    """One page of jobs, and how many there are in all."""

    cards: list[Card]
    total: int
    offset: int


@get("/jobs", exception_handlers={Exception: rendered.respond})
async def jobs(request: Req) -> ASGIApp:
    """Show the jobs by name, those that fail first."""
    seen_by = await door.visitor(request)
    values = parameters.query(request, ("q", "offset", "part", "after"))
    text = (values.get("q") or [""])[0].strip()
    offset = parameters.integer(values, "offset", 0, 0, runs.JOBS_MAX)
    shared, ledger = shared_of(request), of(request)
    found = await shared.get(
        ("cards", text, offset), _SECONDS, lambda: _cards(shared, ledger, text, offset)
    )
    address = urlencode([("q", text)] if text else [])
    beyond = offset + _PAGE
    return rendered.page(
        "jobs.html",
        seen_by,
        block="list" if values.get("part") else None,
        here="/jobs",
        found=found,
        text=text,
        live="/jobs?" + urlencode({"part": "list", "q": text, "offset": offset}),
        onward=f"/jobs?{address}&offset={beyond}" if beyond < found.total else "",
        back=f"/jobs?{address}&offset={max(0, offset - _PAGE)}" if offset else "",
    )


async def _cards(shared: Shared, ledger: Ledger, text: str, offset: int) -> Cards:
    everyone = await directory.everyone(shared, ledger)
    if text:
        wanted = set(directory.matching(everyone, text))
        everyone = [job for job in everyone if job.job_id in wanted]
    absent = {one.job_id: one for one in await overview.missed(ledger.pool, wire.now())}
    ordered = sorted(
        everyone, key=lambda job: job.last_status not in words.BAD and job.job_id not in absent
    )
    shown = ordered[offset : offset + _PAGE]
    recent = await runs.recent(ledger.pool, [job.job_id for job in shown], charts.STRIP_RUNS)
    now = wire.now()
    cards = [_card(job, recent[job.job_id], absent.get(job.job_id), now) for job in shown]
    return Cards(cards, len(ordered), offset)


def _card(job: SeenJob, recent: list[Run], missed: Missed | None, now: datetime) -> Card:
    last_at = ids.created_at(job.last_id)
    due = None
    if job.schedule is not None:
        due = schedules.last_due(job.schedule, job.time_zone, now)
    following = due.following if due is not None else None
    return Card(
        job_id=job.job_id,
        name=directory.name_of(job),
        status=recent[-1].status if recent else job.last_status,
        last_id=ids.to_text(ids.EXECUTION, recent[-1].id if recent else job.last_id),
        last_at=words.clock(last_at),
        last_ago=words.ago(last_at, now),
        strip=charts.strip(recent),
        spark=charts.spark(recent),
        success_rate=charts.success_rate(recent),
        last_duration=words.duration(recent[-1].duration_ms) if recent else "",
        schedule=f"{job.schedule} {job.time_zone or 'UTC'}" if job.schedule else "",
        next_at=words.clock(following)[:16],
        next_in=words.ago(following, now) if following is not None else "",
        missed_at=words.clock(missed.due_at)[:16] if missed is not None else "",
    )


HANDLERS: Final = (jobs,)
