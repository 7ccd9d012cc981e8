"""What travels over HTTP of the log itself: events, and the state after each."""

from typing import Any

from msgspec import Struct

from api.wire import ExecutionId, Timestamp
from domain.events import FailureReason, Observer, Outcome, TriggeredBy
from domain.execution import Status


class ExecutionState(Struct):
    """Everything that the events up to one say of an execution, under the names that get uses.

    What had not happened by then is null.
    """

    status: Status
    version: int
    job_id: str
    triggered_by: TriggeredBy
    attempt: int
    root_id: ExecutionId
    retry_of: ExecutionId | None
    retried_as: ExecutionId | None
    scheduled_for: Timestamp | None
    timeout_seconds: int | None
    start_deadline_seconds: int | None
    labels: list[str]
    pinned_agent_id: str | None
    agent_id: str | None
    started_at: Timestamp | None
    cancel_requested_at: Timestamp | None
    completed_at: Timestamp | None
    duration_ms: int | None
    exit_code: int | None
    signal: int | None
    failure_reason: FailureReason | None
    observed_by: Observer | None
    late_outcome: Outcome | None
    late_exit_code: int | None
    late_reported_at: Timestamp | None


class AuditEvent(Struct):
    """One event of an execution's history, and the state after it.

    `unreadable` says why this server cannot read the event, null if it can. Such an event changes
    no state here; its `data` is what is stored, as `base64` if that is no JSON object. Without a
    readable beginning there is no state.
    """

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
    unreadable: str | None
    state: ExecutionState | None


class AuditTrail(Struct):
    """The history of one execution, in order."""

    data: list[AuditEvent]


class LedgerEvent(Struct):
    """One event of the whole ledger.

    `execution_id` is null if the event is not of an execution; `job_id` is that of its execution,
    or of the job or the due time that it is of. `stream_id` is the UUID of whatever it is of. An
    event of a type that this server does not know is shown as it is stored, with
    `unreadable`.
    """

    position: int
    commit_number: int
    execution_id: ExecutionId | None
    job_id: str | None
    stream_id: str
    version: int
    type: str
    occurred_at: Timestamp
    recorded_at: Timestamp
    actor: str
    request_id: str
    correlation_id: str
    schema_version: int
    leaf_hash: str
    data: dict[str, Any]
    unreadable: str | None


class FeedPagination(Struct):
    """Where this page began, and where the next one begins.

    Everything up to `next_after` has been looked at. `head` is the last position of the ledger.
    """

    after: int
    limit: int
    next_after: int
    has_more: bool
    head: int


class LedgerEvents(Struct):
    """One page of the ledger, in order of position."""

    data: list[LedgerEvent]
    pagination: FeedPagination


class FollowedPosition(Struct):
    """Up to where a follower's filters were looked for: it goes on after `position`."""

    position: int
