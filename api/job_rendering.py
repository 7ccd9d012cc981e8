"""Jobs as people and programs see them. Pure: from a view of the read model to the wire."""

from datetime import datetime
from urllib.parse import urlsplit

from msgspec.structs import asdict

from api import wire
from api.job_making import plan_of
from api.wire_jobs import DueTime, Explanation, Job, RetryConfig, ShownNotificationConfig
from domain import ids
from projections import schedules
from projections.job_queries import JobView
from store import configurations, definitions
from store.definitions import Definition
from store.keys import Keys

TIMES_EXPLAINED = 10


def job(view: JobView, keys: Keys, now: datetime) -> Job:
    """Return a job; `now` is after which its next run comes. Takes some 100 µs."""
    row, plan, last = view.row, plan_of(view), view.last
    runs = configurations.shown(view.configuration)
    wrote = Definition(row.job_id)
    if view.definition is not None:
        wrote = definitions.opened(view.definition, keys)
    is_enabled = row.status == "enabled"
    upcoming = []
    if is_enabled and plan.cron is not None:
        upcoming = schedules.upcoming(plan.cron, plan.timezone, now, 1)
    targets = {name: [_shown(one) for one in some] for name, some in asdict(wrote.notify).items()}
    return Job(
        id=row.job_id,
        name=runs.job_name,
        schedule=wrote.schedule if view.definition is not None else plan.cron,
        schedule_cron=plan.cron,
        timezone=plan.timezone,
        command=runs.command,
        working_dir=runs.working_dir,
        timeout_seconds=plan.timeout_seconds,
        retry_config=None if plan.retry is None else RetryConfig(**asdict(plan.retry)),
        notification_config=ShownNotificationConfig(**targets),
        environment=runs.environment,
        secrets=sorted(runs.secrets),
        tags=list(plan.tags),
        labels=list(plan.labels),
        agent_id=plan.pinned_agent_id,
        agent_name=plan.pinned_agent_id,
        is_enabled=is_enabled,
        last_run_at=wire.timestamp(last.at) if last else None,
        last_status=last.status if last else None,  # type: ignore[arg-type]  # as the read model says
        last_execution_id=ids.to_text(ids.EXECUTION, last.execution_id) if last else None,
        next_run_at=wire.timestamp(schedules.in_utc(upcoming[0])) if upcoming else None,
        missed_policy=plan.missed_policy,
        missed_limit=plan.missed_limit,
        overlap_policy=plan.overlap_policy,
        max_concurrent=plan.max_concurrent,
        max_concurrent_per_tag=plan.max_concurrent_per_tag,
        start_deadline_seconds=plan.start_deadline_seconds,
        jitter_seconds=plan.jitter_seconds,
        created_at=wire.timestamp(row.created_at),
        updated_at=wire.timestamp(row.updated_at),
        version=row.version,
    )


def jobs(views: list[JobView], keys: Keys, now: datetime) -> list[Job]:
    """Return several."""
    return [job(view, keys, now) for view in views]


def explanation(schedule: str, cron: str, timezone: str, now: datetime) -> Explanation:
    """Return what a schedule means: in words, and when it is due next."""
    times = schedules.upcoming(cron, timezone, now, TIMES_EXPLAINED)
    return Explanation(
        schedule=schedule,
        schedule_cron=cron,
        timezone=timezone,
        sentence=schedules.sentence(cron),
        next=[DueTime(wire.timestamp(schedules.in_utc(at)), at.isoformat()) for at in times],
    )


def _shown(address: str) -> str:
    parts = urlsplit(address)
    rest = "/…" if parts.path.strip("/") or parts.query or parts.fragment else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{rest}"
