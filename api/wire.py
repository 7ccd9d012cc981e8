"""What travels over HTTP: the bodies of requests and answers, and nothing else.

The first eleven fields of an execution are the published Cron Executions API, word for word; the
rest is added. Times are RFC 3339 in UTC with milliseconds.
"""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, field
from msgspec.json import Encoder

from domain.events import HeldReason, Outcome, TriggeredBy
from domain.execution import Status
from domain.names import NAME_PATTERN

_encoder: Final = Encoder()

Timestamp: TypeAlias = Annotated[
    str, Meta(description="RFC 3339, UTC, milliseconds", extra_json_schema={"format": "date-time"})
]
ExecutionId: TypeAlias = Annotated[
    str,
    Meta(
        description="Opaque; a TypeID",
        # The middle fixes the version and the variant of a UUIDv7.
        extra_json_schema={
            "pattern": "^exec_[0-7][0-9a-hjkmnp-tv-z]{9}[ef][0-9a-hjkmnp-tv-z]{2}[89abrstv]"
            "[0-9a-hjkmnp-tv-z]{12}$"
        },
    ),
]
START_DEADLINE_MAX: Final = 30 * 24 * 3600
TEXT_PATTERN: Final = "^[^\\u0000-\\u001f\\u007f]*$"
# The same, but not of blanks alone.
TITLE_PATTERN: Final = (
    "^[^\\u0000-\\u001f\\u007f]*[^\\u0000-\\u0020\\u007f][^\\u0000-\\u001f\\u007f]*$"
)
NO_NUL_PATTERN: Final = "^[^\\u0000]*$"
VARIABLE_PATTERN: Final = "^[A-Za-z_][A-Za-z0-9_]*$"
# What these may be, projections/schedules.py says.
SCHEDULE_PATTERN: Final = "^(@[a-z]+|[A-Za-z0-9*,/#-]+( +[A-Za-z0-9*,/#-]+){4})$"
TIME_ZONE_PATTERN: Final = "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$"

# These constraints are checked by parameters.py, which reads `$` as the very end of the text.
Name: TypeAlias = Annotated[str, Meta(extra_json_schema={"pattern": NAME_PATTERN})]
Title: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=200, extra_json_schema={"pattern": TITLE_PATTERN})
]
Text: TypeAlias = Annotated[
    str, Meta(max_length=100_000, extra_json_schema={"pattern": NO_NUL_PATTERN})
]
Command: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=100_000, extra_json_schema={"pattern": NO_NUL_PATTERN})
]
Directory: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=4096, extra_json_schema={"pattern": NO_NUL_PATTERN})
]
Variable: TypeAlias = Annotated[
    str, Meta(max_length=200, extra_json_schema={"pattern": VARIABLE_PATTERN})
]
Version: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=100, extra_json_schema={"pattern": TEXT_PATTERN})
]
Schedule: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=200, extra_json_schema={"pattern": SCHEDULE_PATTERN})
]
TimeZone: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=100, extra_json_schema={"pattern": TIME_ZONE_PATTERN})
]
Sentence: TypeAlias = Annotated[
    str, Meta(max_length=4000, extra_json_schema={"pattern": NO_NUL_PATTERN})
]
Offset: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 53)]
Labels: TypeAlias = Annotated[tuple[Name, ...], Meta(max_length=20)]
WrittenSha256: TypeAlias = Annotated[
    str,
    Meta(
        pattern="^[0-9a-f]{64}$",
        description="Of all that was written, over the stream as it was sent: after masking",
    ),
]


def timestamp(moment: datetime) -> str:
    """Return `moment`, which is in UTC, as it travels: RFC 3339 with milliseconds and Z."""
    # msgspec writes it with microseconds, or without a fraction, in a fifth of isoformat's time.
    said = _encoder.encode(moment)
    if not moment.microsecond:
        return said[1:20].decode() + ".000Z"
    return said[1:24].decode() + "Z"


def optional_timestamp(moment: datetime | None) -> str | None:
    """Return `timestamp` of `moment`, or None."""
    return None if moment is None else timestamp(moment)


def now() -> datetime:
    """Return this server's clock, in UTC."""
    return datetime.now(UTC)


# ------------------------------------------------------------------------------------- executions


class LateOutcome(Struct):
    """The agent's true outcome, which came after the status was final."""

    outcome: Outcome
    exit_code: int | None
    reported_at: Timestamp


class Execution(Struct):
    """One execution. In a list, `output` and `error` are cut to 1,000 characters."""

    id: ExecutionId
    job_id: str
    job_name: str
    status: Status
    exit_code: int | None
    duration_ms: int
    triggered_by: TriggeredBy
    output: str
    error: str | None
    started_at: Timestamp | None
    completed_at: Timestamp | None
    created_at: Timestamp
    scheduled_for: Timestamp | None
    timeout_seconds: int | None
    command: str | tuple[str, ...]
    attempt: int
    retry_of: ExecutionId | None
    root_id: ExecutionId
    retried_as: ExecutionId | None
    agent_id: str | None
    pinned_agent_id: str | None
    cancel_requested_at: Timestamp | None
    failure_reason: str | None
    signal: int | None
    output_bytes: int
    output_truncated: Annotated[
        bool,
        Meta(
            description="Whether `output` is less than was written: cut in this answer (which one "
            "execution by itself is not), or not kept as a whole"
        ),
    ]
    late_outcome: LateOutcome | None
    labels: list[str]
    start_deadline_seconds: int | None
    held: Annotated[
        HeldReason | None,
        Meta(description="Why no agent may take it yet: others have to end first"),
    ]
    masked: Annotated[
        bool, Meta(description="Whether the agent hid secrets in the output before it sent it")
    ]
    output_erased_at: Annotated[
        Timestamp | None, Meta(description="When output and error log were erased, for good")
    ]
    configuration_erased: Annotated[
        bool, Meta(description="Whether job_name, command and the like are gone, and not empty")
    ]


class ExecutionDetail(Execution):
    """One execution with all that was kept of its output and error logs."""

    stderr: str
    stderr_bytes: int
    stderr_truncated: bool
    working_dir: str | None
    stop_when_cut_off: bool
    expected_schedule: str | None
    expected_timezone: str | None


class Pagination(Struct):
    """Where a page stands.

    `total` counts what matches on all pages. It is exact, unless `from`, `to` or `as_of` is given
    and more than 500 match: then it is 500, and `total_is_exact` is false. That is false too if
    with `as_of` there may be executions beyond the 10,000 looked at, or beyond 100,000 passed over
    that were recorded later: then at least `total` match.
    """

    limit: int
    offset: int
    total: int
    total_is_exact: bool
    has_more: bool
    next_cursor: str | None


class ExecutionList(Struct):
    """One page of executions, newest first."""

    data: list[Execution]
    pagination: Pagination


class ClaimAtBirth(Struct, forbid_unknown_fields=True):
    """Who runs a new execution, from the first moment on.

    With `started_at` the execution is told of late: it began then. Only together with an `id` made
    when it ran.
    """

    agent_id: Name
    started_at: Timestamp | None = None


class CreateExecution(Struct, forbid_unknown_fields=True, kw_only=True):
    """What to run. A text is run by ``/bin/sh -c``, a list as it is.

    Only an agent that has all of `labels` may take it. What no agent has taken within
    `start_deadline_seconds` of its creation ends as failed with the reason not_started. With
    `stop_when_cut_off` an agent that cannot reach the server ends the command before its lease runs
    out. `expected_schedule` says when the job should run (five fields of cron, or @daily and the
    like; in UTC unless `expected_timezone` names an IANA time zone), so that a run that did not
    come is noticed.
    """

    job_name: Title
    command: Annotated[Text, Meta(min_length=1)] | Annotated[tuple[Text, ...], Meta(min_length=1)]
    id: ExecutionId | UnsetType = UNSET
    job_id: Name | UnsetType = UNSET
    working_dir: Directory | None = None
    environment: Annotated[dict[Variable, Text], Meta(max_length=500)] = field(default_factory=dict)
    secrets: Annotated[tuple[Variable, ...], Meta(max_length=500)] = ()
    timeout_seconds: Annotated[int, Meta(ge=1, le=(1 << 31) - 1)] | UnsetType | None = UNSET
    triggered_by: Literal["manual", "scheduled"] = "manual"
    scheduled_for: Timestamp | None = None
    pinned_agent_id: Name | None = None
    labels: Labels = ()
    start_deadline_seconds: Annotated[int, Meta(ge=1, le=START_DEADLINE_MAX)] | None = None
    stop_when_cut_off: bool = False
    expected_schedule: Schedule | None = None
    expected_timezone: TimeZone | None = None
    claim: ClaimAtBirth | None = None


# ----------------------------------------------------------------------------------------- agents


class Claim(Struct, forbid_unknown_fields=True):
    """An agent asks for work, and waits at most so long for it.

    `labels` are those that it has. Its version, and how many commands it runs at once, are for
    those who look at the agents. With `settle` it takes nothing new: it asks whether an earlier
    claim with the same Claim-Id, whose answer it does not know, got something.
    """

    agent_id: Name
    wait_seconds: Annotated[float, Meta(ge=0, le=30)] = 0
    labels: Labels = ()
    version: Version | None = None
    concurrency: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    settle: bool = False


class Lease(Struct):
    """The right to report on one execution. `token` goes back in the header Lease-Token.

    It lasts for `seconds`, and each heartbeat renews it for as long: an agent counts that by its
    own clock.
    """

    token: str
    expires_at: Timestamp
    heartbeat_seconds: float
    seconds: float


class ClaimedExecution(Execution):
    """An execution with its whole configuration, for the agent that runs it."""

    environment: dict[str, str]
    secrets: list[str]
    working_dir: str | None
    stop_when_cut_off: bool


class Claimed(Struct):
    """An execution and its lease."""

    execution: ClaimedExecution
    lease: Lease


class Heartbeat(Struct, forbid_unknown_fields=True):
    """An agent is alive; it waits at most so long for news of a cancel."""

    wait_seconds: Annotated[float, Meta(ge=0, le=30)] = 0


class HeartbeatAnswer(Struct):
    """The lease was renewed."""

    cancel_requested: bool
    expires_at: Timestamp


class LogsAnswer(Struct):
    """The stream is durable up to `next_offset`."""

    next_offset: int
    cancel_requested: bool


class Complete(Struct, forbid_unknown_fields=True, kw_only=True):
    """How the command ended. `output` is for agents that do not stream.

    `ended_at` is when it ended, if that was told of late; `masked` says that the agent hid secrets
    in the output before it sent any of it.
    """

    outcome: Outcome
    exit_code: Annotated[int, Meta(ge=-(1 << 31), le=(1 << 31) - 1)] | None = None
    signal: Annotated[int, Meta(ge=1, le=255)] | None = None
    failure_reason: Literal["signal", "spawn_failed", "agent_shutdown", "agent_lost"] | None = None
    error: Sentence | None = None
    duration_ms: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    output: Annotated[str, Meta(max_length=1 << 20)] | None = None
    stdout_bytes: Offset | None = None
    stderr_bytes: Offset | None = None
    stdout_sha256: WrittenSha256 | None = None
    stderr_sha256: WrittenSha256 | None = None
    ended_at: Timestamp | None = None
    masked: bool = False


# ----------------------------------------------------------------------------------------- overview


class LastExecution(Struct):
    """The newest execution of a job."""

    id: ExecutionId
    status: Status
    created_at: Timestamp


class Missed(Struct):
    """A job that should have run at `due_at`, and of which there is no execution from then on."""

    job_id: str
    job_name: str
    expected_schedule: str
    expected_timezone: str | None
    due_at: Timestamp
    last_execution: LastExecution


class MissedList(Struct):
    """All jobs whose last due run did not come."""

    data: list[Missed]


class Agent(Struct):
    """An agent as the server knows it, by its claims and heartbeats.

    `running` are at most 100 of the executions that it holds the leases of, `running_count` counts
    all. `token_bound` says that its token is good for this agent alone.
    """

    agent_id: str
    last_seen_at: Timestamp
    version: str | None
    labels: list[str]
    concurrency: int | None
    token_bound: bool
    running_count: int
    running: list[ExecutionId]


class AgentList(Struct):
    """The agents that were seen last, newest first, at most 1,000."""

    data: list[Agent]


class Health(Struct):
    """Whether the server answers, and why not."""

    status: Literal["ok", "unavailable"]
    detail: str
