"""The operations on executions: list, get, create, retry, cancel, and what is written of them."""

from typing import Final

from api import wire, wire_as_of
from api.described.operation import (
    BYTES,
    EVENTS,
    ID,
    IDEMPOTENCY,
    MOMENT,
    ONE,
    STREAM,
    Operation,
    any_of,
    links,
    parameter,
)
from api.parameters import LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX
from api.routes import executions
from api.routes.executions import PATH

_STATUSES: Final = ["pending", "running", "success", "failed", "timeout", "canceled"]
_PLACE: Final = {"type": "string", "pattern": "^[0-9]{1,15}([.][0-9]{1,15})?$"}
_TAG: Final = {"type": "string"}
_FOLLOWING: Final = (
    " With `follow=true` the answer is a stream of server-sent events, from the beginning and on"
    " until the execution has ended. `output`: {stream, offset, base64}, the bytes as the command"
    " wrote them. `omitted`: {stream, from, to}, bytes that were not kept. `end`: {status,"
    " exit_code}, after all output; then the server closes, and a reader must not come back. The id"
    " of each event is the offset after it (of both streams, `stdout.stderr`, if none was named):"
    " sent back as Last-Event-ID it goes on there, without a byte missing or repeated. A comment"
    " comes every 15 s without news; a reader that takes nothing for 5 s is cut off."
)

AS_OF: Final = parameter(
    *("as_of", "query", {"anyOf": [{"type": "integer", "minimum": 0}, MOMENT]}),
    "As the ledger stood at this position (a whole number) or time (ISO 8601)",
)
_PAST: Final = (
    " With `as_of` the answer is folded from the events up to that position, or up to the last one"
    " recorded at or before that time, or within its millisecond; one that has not come yet is a"
    " 400. All filters look at the state of then. Output is what is kept today of what was sealed"
    " by then: not what still ran. A page looks at 10,000 executions at most, and ends once it has"
    " passed over 100,000 that were recorded later under ids of then (fewer with many jobs and"
    " triggers); `next_cursor` goes on, be the page empty or not. `total` is the same on every"
    " page: up to 500 that match are counted, within the same limits, among the newest executions"
    " of then that the filters other than `status` leave; if there may be more, `total_is_exact`"
    " is false. What is recorded later changes it only beyond these limits. Not together with"
    " `offset`."
)

_LIST: Final = (
    any_of("job_id", None, "Executions of this job", length_min=1),
    any_of("status", _STATUSES, "Executions with this status"),
    any_of("triggered_by", ["scheduled", "manual", "retry"], "Executions triggered so"),
    parameter("from", "query", MOMENT, "Created at this time or later (ISO 8601)"),
    parameter("to", "query", MOMENT, "Created before this time (ISO 8601)"),
    parameter(
        "limit",
        "query",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
        "How many at most",
    ),
    parameter(
        "offset",
        "query",
        {"type": "integer", "minimum": 0, "maximum": OFFSET_MAX, "default": 0},
        "How many to skip; not together with cursor",
    ),
    parameter(
        "cursor",
        "query",
        {"type": "string"},
        "Where the last page ended (pagination.next_cursor), with the same filters",
    ),
    AS_OF,
)

_OF_CREATED: Final = ("getExecution", "cancelExecution", "readLogs", "executionEvents")
_OF_RETRIED: Final = ("getExecution", "cancelExecution", "executionEvents")

OPERATIONS: Final = (
    Operation(
        *("get", PATH, "listExecutions", "List executions, newest first", "executions"),
        answers={200: ("One page", (wire.ExecutionList, wire_as_of.PastExecutionList))},
        notes=_PAST,
        parameters=_LIST,
        errors=(400,),
        links={200: links(("getExecution", "retryExecution"), "/data/0/id")},
    ),
    Operation(
        *("get", ONE, "getExecution", "Get one, with its full output and logs", "executions"),
        answers={
            200: (
                "The execution; once it has ended with an ETag",
                (wire.ExecutionDetail, wire_as_of.PastExecution),
            ),
            304: ("It is what If-None-Match names", None),
        },
        notes=_PAST,
        parameters=(
            ID,
            AS_OF,
            parameter("If-None-Match", "header", _TAG, "ETags of what the client has already"),
        ),
        errors=(400, 404, 409),
    ),
    Operation(
        *("post", ONE + "/retry", "retryExecution", "Run a failed one again", "executions"),
        notes=" Each request makes another execution, also of one that was retried before. Send an"
        " Idempotency-Key, and a request that is repeated makes no more of them.",
        answers={201: ("The new execution", wire.Execution)},
        scope="operate",
        parameters=(ID, IDEMPOTENCY),
        body=executions.Nothing,
        body_required=False,
        errors=(400, 403, 404, 409, 413, 415, 422),
        links={201: links(_OF_RETRIED, "/id")},
    ),
    Operation(
        *("post", PATH, "createExecution", "Create a pending execution", "executions"),
        answers={
            201: ("The execution; with `claim`, and its lease", (wire.Execution, wire.Claimed))
        },
        scope="operate",
        parameters=(IDEMPOTENCY,),
        body=wire.CreateExecution,
        errors=(400, 403, 409, 413, 415, 422),
        links={201: links(_OF_CREATED, "/id")},
    ),
    Operation(
        *("post", ONE + "/cancel", "cancelExecution", "Cancel", "executions"),
        answers={
            200: ("It is canceled", wire.Execution),
            202: ("Its agent was asked to end it", wire.Execution),
        },
        scope="operate",
        parameters=(ID,),
        body=executions.Nothing,
        body_required=False,
        errors=(400, 403, 404, 409, 413, 415),
    ),
    Operation(
        *("get", ONE + "/logs", "readLogs", "Raw output, byte for byte", "executions"),
        answers={
            200: ("The bytes that were kept, or events", (BYTES, EVENTS)),
            206: ("A range of them", BYTES),
        },
        notes=_FOLLOWING,
        parameters=(
            ID,
            parameter("stream", "query", STREAM, "Which one: stdout; with follow, both"),
            parameter(
                "tail",
                "query",
                {"type": "integer", "minimum": 0, "maximum": 1_000_000},
                "Only the last lines; not together with follow",
            ),
            parameter(
                *("follow", "query", {"type": "boolean", "default": False}),
                "Go on as it is written",
            ),
            parameter("Last-Event-ID", "header", _PLACE, "With follow: where to go on"),
            parameter(
                "last_event_id",
                "query",
                _PLACE,
                "The same, for clients that cannot set a header; the header is the newer word",
            ),
        ),
        errors=(400, 404, 410, 416),
    ),
    Operation(
        *("get", PATH + "/missed", "missedExecutions", "What should have run", "executions"),
        answers={200: ("Jobs whose last due run did not come", wire.MissedList)},
        errors=(400,),
    ),
)
