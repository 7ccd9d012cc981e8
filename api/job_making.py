"""From what is asked of a job to what is stored of it. Pure but for the keys that seal."""

from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import asdict, replace

from api import parameters, wire
from api.ledger import Ledger
from api.problems import Problem, invalid
from api.routes.creation import check_secrets_hidden, job_of, labels_of, sealed
from api.wire_jobs import ChangeJob, CreateJob, NotificationConfig, RetryConfig
from domain import ids
from domain.bodies import BodyDigest
from domain.job_events import Plan, RetryPlan
from projections import schedules
from projections.job_queries import JobView
from store import configurations, definitions
from store.definitions import Definition, Targets
from store.work import Configuration

TIMEOUT_DEFAULT: Final = 300
MISSED_LIMIT_DEFAULT: Final = 10
# Paths below the jobs' own.
_TAKEN_IDS: Final = frozenset({"explain", "skipped"})


class Made(Struct, frozen=True):
    """A job as it is stored: what it runs, what people wrote, and what is decided by."""

    job_id: str
    name: str
    configuration: Configuration
    configuration_digest: BodyDigest
    definition: Configuration
    definition_digest: BodyDigest
    plan: Plan


def made(ledger: Ledger, asked: CreateJob) -> Made:
    """Return the job that is asked for. Raises `Problem` 400 that names the field."""
    name = parameters.title("name", asked.name)
    job_id = ids.derived_job_id(name) if asked.id is UNSET else parameters.name("id", asked.id)
    if job_id in _TAKEN_IDS:
        raise invalid("id", f"cannot be {job_id}, which is another path of this API")
    plan = _plan(asked, ledger.settings.timeout_seconds_max)
    body = job_of(
        wire.CreateExecution(
            job_name=name,
            job_id=job_id,
            command=asked.command,
            working_dir=asked.working_dir,
            environment=asked.environment,
            secrets=asked.secrets,
            timeout_seconds=plan.timeout_seconds,
            labels=plan.labels,
        ),
        ledger.settings.timeout_seconds_max,
    )
    check_secrets_hidden(
        body.secrets, [asked.schedule or "", *plan.tags, plan.pinned_agent_id or ""]
    )
    configuration, configuration_digest = sealed(ledger, body)
    notify = asked.notification_config
    targets = {
        field: _webhooks(field, getattr(notify, field)) for field in Targets.__struct_fields__
    }
    definition, definition_digest = definitions.seal(
        Definition(job_id, asked.schedule, Targets(**targets)), ledger.keys
    )
    return Made(
        job_id=job_id,
        name=name,
        configuration=configuration,
        configuration_digest=configuration_digest,
        definition=definition,
        definition_digest=definition_digest,
        plan=plan,
    )


def _plan(asked: CreateJob, timeout_seconds_max: int) -> Plan:
    timeout = asked.timeout_seconds
    if timeout is None:
        timeout = min(TIMEOUT_DEFAULT, timeout_seconds_max)
    if asked.missed_limit is not None and asked.missed_policy != "run_all":
        raise invalid("missed_limit", "says nothing unless missed_policy is run_all")
    limit = asked.missed_limit or MISSED_LIMIT_DEFAULT
    tags = tuple(sorted({parameters.name("tags", tag) for tag in asked.tags}))
    for tag in asked.max_concurrent_per_tag:
        if tag not in tags:
            raise invalid("max_concurrent_per_tag", f"{tag[:40]!r} is not one of this job's tags")
    agent_id = asked.agent_id
    return Plan(
        cron=None if asked.schedule is None else cron_of("schedule", asked.schedule),
        timezone=parameters.time_zone("timezone", asked.timezone),
        timeout_seconds=timeout,
        missed_policy=asked.missed_policy,
        overlap_policy=asked.overlap_policy,
        missed_limit=limit if asked.missed_policy == "run_all" else None,
        max_concurrent=asked.max_concurrent,
        max_concurrent_per_tag=dict(sorted(asked.max_concurrent_per_tag.items())),
        start_deadline_seconds=asked.start_deadline_seconds,
        jitter_seconds=asked.jitter_seconds or None,
        pinned_agent_id=None if agent_id is None else parameters.name("agent_id", agent_id),
        labels=labels_of(asked.labels),
        tags=tags,
        retry=None if asked.retry_config is None else RetryPlan(**asdict(asked.retry_config)),
    )


def cron_of(field: str, schedule: str) -> str:
    """Return the five fields that `schedule` means. Raises `Problem` 400."""
    parameters.line(field, schedule)
    try:
        return schedules.cron_of(schedule)
    except ValueError as error:
        raise invalid(field, str(error)) from error


def _webhooks(field: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
    for address in addresses:
        check_address(f"notification_config.{field}", address)
    return addresses


def check_address(field: str, address: str) -> None:
    """Raise `Problem` 400 unless `address` is a whole one of http or https."""
    try:
        parts = urlsplit(address)
        whole = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1)
    except ValueError:
        whole = None
    if not whole or not address.isascii() or not address.isprintable() or " " in address:
        raise invalid(field, "holds what is no address such as https://host/path")


def merged(ledger: Ledger, view: JobView, asked: ChangeJob) -> CreateJob:
    """Return the job as it is to be. Raises `Problem` 409 if its texts are erased."""
    now = _current(ledger, view)
    given = {
        name: value
        for name in CreateJob.__struct_fields__
        if name not in {"id", "environment", "secrets"}
        and (value := getattr(asked, name)) is not UNSET
    }
    if given.get("missed_policy", "run_all") != "run_all" and "missed_limit" not in given:
        given["missed_limit"] = None
    if "tags" in given and "max_concurrent_per_tag" not in given:
        limits = now.max_concurrent_per_tag.items()
        given["max_concurrent_per_tag"] = {tag: n for tag, n in limits if tag in given["tags"]}
    if asked.notification_config is not UNSET:
        lists = asdict(asked.notification_config).items()
        changed = {event: targets for event, targets in lists if targets is not UNSET}
        given["notification_config"] = replace(now.notification_config, **changed)
    environment, secrets = _environment(now, asked)
    return replace(now, environment=environment, secrets=secrets, **given)


def _environment(now: CreateJob, asked: ChangeJob) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the variables and which of them are secret; who changes them cannot see the latter."""
    hidden = {name: now.environment[name] for name in now.secrets}
    if asked.environment is UNSET:
        plain = {name: one for name, one in now.environment.items() if name not in hidden}
    else:
        plain = asked.environment
    if asked.secrets is UNSET:
        return {**hidden, **plain}, now.secrets
    kept = {name: value for name, value in hidden.items() if name in asked.secrets}
    return {**kept, **plain}, asked.secrets


def _current(ledger: Ledger, view: JobView) -> CreateJob:
    if view.configuration is None or view.definition is None:
        raise Problem(
            409,
            "conflict",
            "The texts of this job were erased, so that it cannot be changed in parts; delete it "
            "and create it anew.",
        )
    job = configurations.opened(view.configuration, ledger.keys)
    definition = definitions.opened(view.definition, ledger.keys)
    plan = plan_of(view)
    return CreateJob(
        id=view.row.job_id,
        name=job.job_name,
        schedule=definition.schedule,
        command=job.command,
        timezone=plan.timezone,
        working_dir=job.working_dir,
        timeout_seconds=plan.timeout_seconds,
        retry_config=None if plan.retry is None else RetryConfig(**asdict(plan.retry)),
        notification_config=NotificationConfig(**asdict(definition.notify)),
        environment={**job.environment, **job.secrets},
        secrets=tuple(job.secrets),
        tags=plan.tags,
        labels=plan.labels,
        agent_id=plan.pinned_agent_id,
        missed_policy=plan.missed_policy,
        missed_limit=plan.missed_limit,
        overlap_policy=plan.overlap_policy,
        max_concurrent=plan.max_concurrent,
        max_concurrent_per_tag=plan.max_concurrent_per_tag,
        start_deadline_seconds=plan.start_deadline_seconds,
        jitter_seconds=plan.jitter_seconds,
    )


_plans: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(Plan)


def plan_of(view: JobView) -> Plan:
    """Return what a job is decided by."""
    plan: Plan = _plans.decode(view.row.plan)
    return plan
