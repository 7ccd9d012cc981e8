"""What travels over HTTP: the bodies of requests and answers, and nothing else.

The first eleven fields of an execution are the published Cron Executions API, word for word; the
rest is added. Times are RFC 3339 in UTC with milliseconds.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, field

from domain.events import Outcome, TriggeredBy
from domain.execution import Status
from domain.names import NAME_PATTERN

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
TEXT_PATTERN: Final = "^[^\\u0000-\\u001f\\u007f]*$"
NO_NUL_PATTERN: Final = "^[^\\u0000]*$"
VARIABLE_PATTERN: Final = "^[A-Za-z_][A-Za-z0-9_]*$"

# These constraints are checked by parameters.py, which reads `$` as the very end of the text.
Name: TypeAlias = Annotated[str, Meta(extra_json_schema={"pattern": NAME_PATTERN})]
Title: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=200, extra_json_schema={"pattern": TEXT_PATTERN})
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
Sentence: TypeAlias = Annotated[
    str, Meta(max_length=4000, extra_json_schema={"pattern": NO_NUL_PATTERN})
]
Offset: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 53)]


def timestamp(moment: datetime) -> str:
    """Return `moment`, which is in UTC, as it travels: RFC 3339 with milliseconds and Z."""
    m = moment
    # By hand, since isoformat asks the time zone first and an f-string formats each part by itself:
    # both take half as long again, and every answer holds several times.
    return "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ" % (  # noqa: UP031
        *(m.year, m.month, m.day, m.hour, m.minute, m.second, m.microsecond // 1000),
    )


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
    output_truncated: bool
    late_outcome: LateOutcome | None


class ExecutionDetail(Execution):
    """One execution with all that was kept of its output and error logs."""

    stderr: str
    stderr_bytes: int
    stderr_truncated: bool
    working_dir: str | None


class Pagination(Struct):
    """Where a page stands. `total` stops at 10,000, and `total_is_exact` is false then."""

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
    """Who runs a new execution, from the first moment on."""

    agent_id: Name


class CreateExecution(Struct, forbid_unknown_fields=True, kw_only=True):
    """What to run. A text is run by ``/bin/sh -c``, a list as it is."""

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
    claim: ClaimAtBirth | None = None


# ----------------------------------------------------------------------------------------- agents


class Claim(Struct, forbid_unknown_fields=True):
    """An agent asks for work, and waits at most so long for it."""

    agent_id: Name
    wait_seconds: Annotated[float, Meta(ge=0, le=30)] = 0


class Lease(Struct):
    """The right to report on one execution. `token` goes back in the header Lease-Token."""

    token: str
    expires_at: Timestamp
    heartbeat_seconds: float


class ClaimedExecution(Execution):
    """An execution with its whole configuration, for the agent that runs it."""

    environment: dict[str, str]
    secrets: list[str]
    working_dir: str | None


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


class FollowedOutput(Struct):
    """Bytes of one stream as the command wrote them; `offset` is where they stand in it."""

    stream: str
    offset: int
    base64: bytes


class FollowedOmission(Struct):
    """The bytes of one stream that were not kept: [from, to)."""

    stream: str
    from_: int = field(name="from")
    to: int


class FollowedEnd(Struct):
    """How the execution ended, after all of its output."""

    status: str
    exit_code: int | None


class Complete(Struct, forbid_unknown_fields=True, kw_only=True):
    """How the command ended. `output` is for agents that do not stream."""

    outcome: Outcome
    exit_code: Annotated[int, Meta(ge=-(1 << 31), le=(1 << 31) - 1)] | None = None
    signal: Annotated[int, Meta(ge=1, le=255)] | None = None
    failure_reason: Literal["signal", "spawn_failed", "agent_shutdown"] | None = None
    error: Sentence | None = None
    duration_ms: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    output: Annotated[str, Meta(max_length=1 << 20)] | None = None
    stdout_bytes: Offset | None = None
    stderr_bytes: Offset | None = None
    stdout_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    stderr_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None


# ------------------------------------------------------------------------------------------ audit


class AuditEvent(Struct):
    """One event of an execution's history."""

    position: int
    version: int
    type: str
    occurred_at: Timestamp
    recorded_at: Timestamp
    actor: str
    request_id: str
    correlation_id: ExecutionId
    schema_version: int
    leaf_hash: str
    data: dict[str, Any]


class AuditTrail(Struct):
    """The history of one execution, in order."""

    data: list[AuditEvent]


class Health(Struct):
    """Whether the server answers, and why not."""

    status: Literal["ok", "unavailable"]
    detail: str
