"""What travels over HTTP about the past: answers as the ledger stood at a position."""

from msgspec import Struct

from api.wire import Execution, ExecutionDetail, ExecutionId, Pagination, Timestamp


class AsOf(Struct):
    """As of which position an answer is, and when that was recorded (null before the first event).

    `unreadable` are executions that were left out, since this server cannot read their events.
    """

    position: int
    recorded_at: Timestamp | None
    unreadable: list[ExecutionId]


class PastExecution(ExecutionDetail):
    """One execution as it stood then, with the output that was sealed by then and is kept today."""

    as_of: AsOf


class PastExecutionList(Struct):
    """One page of executions as they stood then, newest first."""

    data: list[Execution]
    pagination: Pagination
    as_of: AsOf
