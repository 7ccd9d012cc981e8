"""Jobs: how each one's last runs went, how long they took, when the next is due; run and pause."""

import asyncio
import secrets
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from litestar import get, post
from litestar.types import ASGIApp
from msgspec import Struct

from api import job_rendering, parameters, wire
from api.ledger import Ledger, of
from api.pages import charts, directory, door, rendered, words
from api.pages.charts import Spark, Strip
from api.pages.directory import Known
from api.pages.execution import form_key
from api.pages.history import shared_of
from api.pages.rendered import Req
from api.pages.shared import Shared
from api.problems import Problem
from api.routes.executions import PATH
from api.routes.jobs import job_id_of, job_of, run_now, switching
from domain import ids, job_commands
from projections import overview, runs, schedules, summaries
from projections.overview import Missed
from projections.runs import Run
from projections.summaries import Summary
from store import configurations
from store.keys import Keys
from store.tokens import Scope

_PAGE: Final = 50
_SECONDS: Final = 3.0
_ASKING: Final = {
    "run": (
        "Run it now?",
        "This makes a new execution with the job's configuration, which an agent then runs.",
        "Run now",
    ),
    "pause": ("Pause the job?", "It is due no more until somebody resumes it.", "Pause"),
    "resume": ("Resume the job?", "It is due again, from now on.", "Resume"),
}
_SCOPES: Final[dict[str, Scope]] = {"run": "operate", "pause": "jobs", "resume": "jobs"}


class Card(Struct, frozen=True):
    """What the page shows of one job; `state` is of its definition: empty if it has none."""

    job_id: str
    name: str
    state: str
    status: str
    last_id: str
    last_at: str
    last_ago: str
    strip: Strip
    spark: Spark | None
    success_rate: int | None
    last_duration: str
    ever: str
    usual: str
    schedule: str
    next_at: str
    next_in: str
    missed_at: str


class _Past(Struct, frozen=True):
    """What ran of one job: the last runs, oldest first, and the sum of all that ended."""

    recent: list[Run]
    ever: Summary | None


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
    shown_ids = [job.job_id for job in shown]
    recent = await runs.recent(ledger.pool, shown_ids, charts.STRIP_RUNS)
    ever = await summaries.ever(ledger.pool, shown_ids)
    now = wire.now()
    # When each runs next is computed, some 100 µs each: not while others wait.
    cards = await asyncio.to_thread(
        lambda: [
            _card(
                job,
                _Past(recent[job.job_id], ever.get(job.job_id)),
                absent.get(job.job_id),
                ledger.keys,
                now,
            )
            for job in shown
        ]
    )
    return Cards(cards, len(ordered), offset)


def _card(job: Known, past: _Past, missed: Missed | None, keys: Keys, now: datetime) -> Card:
    recent = past.recent
    last = recent[-1] if recent else None
    last_at = ids.created_at(last.id) if last is not None else None
    # Of fewer, the strip says it all.
    ever = past.ever if past.ever is not None and past.ever.judged > charts.STRIP_RUNS else None
    schedule, following = _schedule(job, keys, now)
    return Card(
        job_id=job.job_id,
        name=directory.name_of(job),
        state=job.defined.row.status if job.defined is not None else "",
        status=last.status if last is not None else "",
        last_id=ids.to_text(ids.EXECUTION, last.id) if last is not None else "",
        last_at=words.clock(last_at),
        last_ago=words.ago(last_at, now) if last_at is not None else "",
        strip=charts.strip(recent),
        spark=charts.spark(recent),
        success_rate=charts.success_rate(recent),
        last_duration=words.duration(last.duration_ms) if last is not None else "",
        ever=words.success_of(ever) if ever is not None else "",
        usual=words.usual_duration(ever) if ever is not None else "",
        schedule=schedule,
        next_at=words.clock(following)[:16],
        next_in=words.ago(following, now) if following is not None else "",
        missed_at=words.clock(missed.due_at)[:16] if missed is not None else "",
    )


def _schedule(job: Known, keys: Keys, now: datetime) -> tuple[str, datetime | None]:
    """Return when a job runs, and when it does next: by its definition, else by its last run."""
    if job.defined is not None:
        told = job_rendering.job(job.defined, keys, now)
        text = f"{told.schedule} {told.timezone}" if told.schedule else ""
        following = told.next_run_at and datetime.fromisoformat(told.next_run_at)
        return text, following or None
    if job.seen is None or job.seen.schedule is None:
        return "", None
    due = schedules.last_due(job.seen.schedule, job.seen.time_zone, now)
    return (
        f"{job.seen.schedule} {job.seen.time_zone or 'UTC'}",
        due.following if due is not None else None,
    )


@get("/jobs/{job_id:str}/{action:str}", exception_handlers={Exception: rendered.respond})
async def ask(request: Req) -> ASGIApp:
    """Ask before something is done with a job."""
    action, scope = _action(request)
    seen_by = await door.visitor(request, scope)
    view = await job_of(of(request), job_id_of(request))
    return rendered.page(
        "confirm.html",
        seen_by,
        here="/jobs",
        action=action,
        asking=_ASKING,
        key=secrets.token_hex(16),
        target=f"/jobs/{view.row.job_id}",
        back="/jobs",
        status_shown="",
        name=configurations.shown(view.configuration).job_name or words.ERASED,
    )


@post("/jobs/{job_id:str}/{action:str}", exception_handlers={Exception: rendered.respond})
async def act(request: Req) -> ASGIApp:
    """Pause or resume a job and come back, or run it and go to the new execution."""
    action, scope = _action(request)
    seen_by, fields = await door.sender(request, scope)
    ledger, job_id = of(request), job_id_of(request)
    if action != "run":
        kind = job_commands.PauseJob if action == "pause" else job_commands.ResumeJob
        await ledger.appender.submit(switching(ledger, seen_by.caller, job_id, kind))
        shared_of(request).forget()
        return rendered.redirect("/jobs")
    made = await run_now(ledger, seen_by.caller, job_id, form_key(request, seen_by, fields))
    location = (made.headers or {}).get("Location", "")
    return rendered.redirect("/executions" + location.removeprefix(PATH))


def _action(request: Req) -> tuple[str, Scope]:
    action = request.scope["path_params"]["action"]
    if action not in _ASKING:
        raise Problem(404, "resource_not_found", "There is nothing at this address.")
    return action, _SCOPES[action]


HANDLERS: Final = (jobs, ask, act)
