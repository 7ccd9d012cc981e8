"""The facts in the life of a job: what is to run, when, and by which rules.

Like those of an execution they hold no free text. A job has two bodies that can be erased: its
configuration, which is that of the executions it makes (name, command, environment, …), so that
"same configuration" is one digest; and its definition, the rest of what people wrote (the schedule
in their words, whom to notify). What the ledger itself decides by is the `Plan`: numbers, choices,
the cron form of the schedule, and names (of agents, labels and tags).
"""

from typing import Literal, TypeAlias, final

from msgspec import Struct, field

from domain.bodies import BodyDigest, ErasureReason

MissedPolicy: TypeAlias = Literal["run_once", "skip", "run_all"]
OverlapPolicy: TypeAlias = Literal["allow", "skip", "queue", "cancel_running"]
RetryOn: TypeAlias = Literal[
    "exit_code",
    "signal",
    "timeout",
    "agent_lost",
    "not_started",
    "spawn_failed",
    "agent_shutdown",
]


@final
class RetryPlan(Struct, frozen=True):
    """When a failed run is tried again by itself.

    The n-th retry waits for the n-th of `intervals_seconds`; after the last one each wait is
    `backoff_factor` times the one before, at most `interval_seconds_max`. A failure qualifies if
    its reason is in `on`, and, where a command ended with an exit code, if that is one of
    `exit_codes` (none means any but 0).
    """

    max_retries: int
    intervals_seconds: tuple[int, ...]
    backoff_factor: int
    interval_seconds_max: int
    on: tuple[RetryOn, ...]
    exit_codes: tuple[int, ...]


@final
class Plan(Struct, frozen=True, omit_defaults=True):
    """What is decided by: under the lock, without any body.

    `cron` is five fields, or None for a job that only runs when somebody asks. `missed_limit` is
    how many missed times `run_all` makes up for at most. `max_concurrent_per_tag` says of tags of
    this job how many executions of jobs with that tag may be active before this one waits.
    """

    cron: str | None
    timezone: str
    timeout_seconds: int
    missed_policy: MissedPolicy
    overlap_policy: OverlapPolicy
    missed_limit: int | None = None
    max_concurrent: int | None = None
    max_concurrent_per_tag: dict[str, int] = field(default_factory=dict)
    start_deadline_seconds: int | None = None
    jitter_seconds: int | None = None
    pinned_agent_id: str | None = None
    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    retry: RetryPlan | None = None


@final
class JobCreated(Struct, frozen=True, tag_field="type", tag="job.created"):
    """A job was defined; from then on it is due by its plan. After a delete it begins anew."""

    job_id: str
    definition: BodyDigest
    configuration: BodyDigest
    plan: Plan


@final
class JobChanged(Struct, frozen=True, tag_field="type", tag="job.changed"):
    """The job is another from now on; this is all of it, not the difference."""

    definition: BodyDigest
    configuration: BodyDigest
    plan: Plan


@final
class JobPaused(Struct, frozen=True, tag_field="type", tag="job.paused"):
    """The job is not due any more until somebody resumes it."""


@final
class JobResumed(Struct, frozen=True, tag_field="type", tag="job.resumed"):
    """The job is due again, from now on: times that passed meanwhile are not missed."""


@final
class JobDeleted(Struct, frozen=True, tag_field="type", tag="job.deleted"):
    """The job is no more. What it ran stays in the ledger."""


@final
class JobBodiesErased(Struct, frozen=True, tag_field="type", tag="job.bodies_erased"):
    """Texts that the job had are gone, in the transaction that says so.

    `bodies` are digests of configurations and definitions that earlier events of this job name. A
    configuration is gone for every execution that names it, too. One is back once a later
    `JobCreated` or `JobChanged` (of a configuration: or a Created) names it again.
    """

    reason: ErasureReason
    bodies: tuple[str, ...]


JobEvent: TypeAlias = (
    JobCreated | JobChanged | JobPaused | JobResumed | JobDeleted | JobBodiesErased
)
