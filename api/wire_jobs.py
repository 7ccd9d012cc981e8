"""What travels about jobs. The names are those of the published jobs API, where it has any."""

from typing import Annotated, Any, Final, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, field

from api import wire
from api.wire import Directory, Labels, Name, Pagination, Text, Timestamp, TimeZone, Title, Variable
from domain.execution import Status
from domain.job import JobStatus
from domain.job_events import MissedPolicy, OverlapPolicy, RetryOn

WEBHOOK_PATTERN: Final = "^https?://[!-~]+$"
JITTER_SECONDS_MAX: Final = 24 * 3600
WAIT_SECONDS_MAX: Final = 7 * 24 * 3600

When: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="Five fields of cron, @daily and the like, or a phrase: every weekday at 9am",
        extra_json_schema={"pattern": wire.TEXT_PATTERN},
    ),
]
Webhook: TypeAlias = Annotated[
    str,
    Meta(min_length=1, max_length=2000, extra_json_schema={"pattern": WEBHOOK_PATTERN}),
]
Webhooks: TypeAlias = Annotated[tuple[Webhook, ...], Meta(max_length=10)]
Command: TypeAlias = (
    Annotated[Text, Meta(min_length=1)] | Annotated[tuple[Text, ...], Meta(min_length=1)]
)
Environment: TypeAlias = Annotated[dict[Variable, Text], Meta(max_length=500)]
Secrets: TypeAlias = Annotated[tuple[Variable, ...], Meta(max_length=500)]
Timeout: TypeAlias = Annotated[int, Meta(ge=1, le=(1 << 31) - 1)]
StartDeadline: TypeAlias = Annotated[int, Meta(ge=1, le=wire.START_DEADLINE_MAX)]
Jitter: TypeAlias = Annotated[int, Meta(ge=0, le=JITTER_SECONDS_MAX)]
Few: TypeAlias = Annotated[int, Meta(ge=1, le=10_000)]
MissedLimit: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]
PerTag: TypeAlias = Annotated[dict[Name, Few], Meta(max_length=20)]
Seconds: TypeAlias = Annotated[int, Meta(ge=0, le=WAIT_SECONDS_MAX)]


class RetryConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """When a failed run is tried again by itself.

    The n-th retry waits for the n-th of `intervals_seconds`; after the last of them each wait is
    `backoff_factor` times the one before, at most `interval_seconds_max`. `on` says which failures
    qualify, `exit_codes` which exit codes (none: any but 0).
    """

    max_retries: Annotated[int, Meta(ge=0, le=20)]
    intervals_seconds: Annotated[tuple[Seconds, ...], Meta(min_length=1, max_length=20)] = (60,)
    backoff_factor: Annotated[int, Meta(ge=1, le=10)] = 2
    interval_seconds_max: Seconds = 3600
    on: Annotated[tuple[RetryOn, ...], Meta(min_length=1, max_length=7)] = (
        *("exit_code", "signal", "timeout", "agent_lost"),
    )
    exit_codes: Annotated[tuple[Annotated[int, Meta(ge=1, le=255)], ...], Meta(max_length=100)] = ()


class NotificationConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """Addresses that hear of the job.

    Of failures, of successes, of the first success after a failure, of times when it did not run.
    """

    on_failure: Webhooks = ()
    on_success: Webhooks = ()
    on_recovery: Webhooks = ()
    on_missed: Webhooks = ()


class ChangeNotificationConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """Which lists of addresses are to be others; what is left out stays, since it is not shown."""

    on_failure: Webhooks | UnsetType = UNSET
    on_success: Webhooks | UnsetType = UNSET
    on_recovery: Webhooks | UnsetType = UNSET
    on_missed: Webhooks | UnsetType = UNSET


class ShownNotificationConfig(Struct):
    """The addresses without what follows their hosts, since that is often a secret."""

    on_failure: list[str]
    on_success: list[str]
    on_recovery: list[str]
    on_missed: list[str]


class Job(Struct):
    """One job.

    `schedule` is as it was written, `schedule_cron` the five fields that it means in `timezone`.
    `secrets` are the names of variables whose values are never shown. `agent_id` is the only agent
    that may run it, if there is one, and `agent_name` what that is called, which is the same.
    `last_run_at` and `last_status` are those of its newest execution, however that was started.
    `version` rises with every change.
    """

    id: str
    name: str
    schedule: str | None
    schedule_cron: str | None
    timezone: str
    command: str | tuple[str, ...]
    working_dir: str | None
    timeout_seconds: int
    retry_config: RetryConfig | None
    notification_config: ShownNotificationConfig
    environment: dict[str, str]
    secrets: list[str]
    tags: list[str]
    labels: list[str]
    agent_id: str | None
    agent_name: str | None
    is_enabled: bool
    last_run_at: Timestamp | None
    last_status: Status | None
    last_execution_id: wire.ExecutionId | None
    next_run_at: Timestamp | None
    missed_policy: MissedPolicy
    missed_limit: int | None
    overlap_policy: OverlapPolicy
    max_concurrent: int | None
    max_concurrent_per_tag: dict[str, int]
    start_deadline_seconds: int | None
    jitter_seconds: int | None
    created_at: Timestamp
    updated_at: Timestamp
    version: int


class JobList(Struct):
    """One page of jobs, newest first."""

    data: list[Job]
    pagination: Pagination


class CreateJob(Struct, forbid_unknown_fields=True, kw_only=True):
    """A job: what to run, when, and by which rules.

    `schedule` may be null: then it runs only when somebody asks. Without an `id` the job has the
    one that executions of its name have, so that they are one history.

    `missed_policy` says what becomes of times that passed while no server ran: run once, skip, or
    run all, at most `missed_limit` of them. `overlap_policy` says what happens if it is due while
    it still runs: allow, skip, queue, or cancel what runs. `max_concurrent` bounds how many of its
    executions are active at once, `max_concurrent_per_tag` how many of all jobs with a tag of this
    one may be for it to begin. `jitter_seconds` spreads its starts.
    """

    name: Title
    schedule: When | None
    command: Command
    id: Name | UnsetType = UNSET
    timezone: TimeZone = "UTC"
    working_dir: Directory | None = None
    timeout_seconds: Timeout | None = None
    retry_config: RetryConfig | None = None
    notification_config: NotificationConfig = NotificationConfig()
    environment: Environment = field(default_factory=dict)
    secrets: Secrets = ()
    tags: Labels = ()
    labels: Labels = ()
    agent_id: Name | None = None
    is_enabled: bool = True
    missed_policy: MissedPolicy = "run_once"
    missed_limit: MissedLimit | None = None
    overlap_policy: OverlapPolicy = "allow"
    max_concurrent: Few | None = None
    max_concurrent_per_tag: PerTag = field(default_factory=dict)
    start_deadline_seconds: StartDeadline | None = None
    jitter_seconds: Jitter | None = None


class ChangeJob(Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to be different; what is left out stays as it is.

    A member is replaced whole, but for the lists in `notification_config`. Of `environment` and
    `secrets`: values that are secret and not named in a new environment stay; names that a new list
    of secrets leaves out are secret no more and gone. With `version` (or the header If-Match) the
    change holds only if the job is still at that version.
    """

    name: Title | UnsetType = UNSET
    schedule: When | UnsetType | None = UNSET
    command: Command | UnsetType = UNSET
    timezone: TimeZone | UnsetType = UNSET
    working_dir: Directory | UnsetType | None = UNSET
    timeout_seconds: Timeout | UnsetType | None = UNSET
    retry_config: RetryConfig | UnsetType | None = UNSET
    notification_config: ChangeNotificationConfig | UnsetType = UNSET
    environment: Environment | UnsetType = UNSET
    secrets: Secrets | UnsetType = UNSET
    tags: Labels | UnsetType = UNSET
    labels: Labels | UnsetType = UNSET
    agent_id: Name | UnsetType | None = UNSET
    is_enabled: bool | UnsetType = UNSET
    missed_policy: MissedPolicy | UnsetType = UNSET
    missed_limit: MissedLimit | UnsetType | None = UNSET
    overlap_policy: OverlapPolicy | UnsetType = UNSET
    max_concurrent: Few | UnsetType | None = UNSET
    max_concurrent_per_tag: PerTag | UnsetType = UNSET
    start_deadline_seconds: StartDeadline | UnsetType | None = UNSET
    jitter_seconds: Jitter | UnsetType | None = UNSET
    version: Annotated[int, Meta(ge=1, le=(1 << 31) - 1)] | UnsetType = UNSET


class JobState(Struct):
    """Everything that the events up to one say of a job.

    `definition` and `configuration` are the digests of its texts, `plan` is what it is due by;
    its times count from `due_since`.
    """

    status: JobStatus
    version: int
    definition: str
    configuration: str
    plan: dict[str, Any]
    created_at: Timestamp
    updated_at: Timestamp
    due_since: Timestamp


class JobEvent(Struct):
    """One event of a job's history, and the state after it.

    `unreadable` says why this server cannot read the event, null if it can. Such an event changes
    no state here.
    """

    position: int
    version: int
    type: str
    occurred_at: Timestamp
    recorded_at: Timestamp
    actor: str
    request_id: str
    schema_version: int
    leaf_hash: str
    data: dict[str, Any]
    unreadable: str | None
    state: JobState | None


class JobAuditTrail(Struct):
    """The history of one job, in order."""

    data: list[JobEvent]


class DueTime(Struct):
    """A time at which a job is due: in UTC, and by the clock of its zone."""

    at: Timestamp
    local: Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class Explanation(Struct):
    """What a schedule means."""

    schedule: str
    schedule_cron: str
    timezone: str
    sentence: str
    next: list[DueTime]
