"""The OpenAPI description of this API, built from the wire structs that it is served with."""

from functools import cache
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from api import problems, wire
from api.parameters import LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX, REPEATED_MAX
from api.routes import executions
from api.routes.executions import PATH

_ONE: Final = PATH + "/{execution_id}"
_REF: Final = "#/components/schemas/{name}"
JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
EVENTS: Final = "text/event-stream"

_ERRORS: Final = {
    400: "A parameter or the body is wrong; the sentence names the field",
    401: "The access token is missing, unknown, revoked or expired",
    403: "The access token is not allowed to do this",
    404: "There is no such execution",
    409: "The execution's status does not allow this; the sentence names the allowed ones",
    413: "The body is too large",
    415: "The body is not declared as JSON",
    416: "There are no such bytes",
    422: "The Idempotency-Key was used with another request",
    503: "The database is away or the server is full; try again after Retry-After",
}


class Operation(Struct, frozen=True):
    """One method on one path."""

    method: str
    path: str
    name: str
    summary: str
    tag: str
    answers: dict[int, tuple[str, Any]]
    scope: str | None = "read"
    notes: str = ""
    parameters: tuple[dict[str, Any], ...] = ()
    body: Any = None
    body_required: bool = True
    errors: tuple[int, ...] = ()
    links: dict[int, dict[str, Any]] = field(default_factory=dict)


def _parameter(
    name: str, place: str, schema: dict[str, Any], text: str, *, required: bool = False
) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": required or place == "path",
        "description": text,
        "schema": schema,
    }


def _any_of(name: str, values: list[str] | None, text: str) -> dict[str, Any]:
    items: dict[str, Any] = {"type": "string"} if values is None else {"enum": values}
    if values is None:
        items["pattern"] = wire.NO_NUL_PATTERN
    schema = {"type": "array", "items": items, "minItems": 1, "maxItems": REPEATED_MAX}
    return _parameter(name, "query", schema, text + "; repeat it for any of several") | {
        "style": "form",
        "explode": True,
    }


_STATUSES: Final = ["pending", "running", "success", "failed", "timeout", "canceled"]
_MOMENT: Final = {"type": "string", "format": "date-time"}
_ID: Final = _parameter("execution_id", "path", {"type": "string"}, "The id of an execution")
_KEY_SCHEMA: Final = {"type": "string", "pattern": "^[ -~]{1,255}$"}
_IDEMPOTENCY: Final = _parameter(
    "Idempotency-Key", "header", _KEY_SCHEMA, "The same key and request give the same answer again"
)
_LEASE: Final = _parameter(
    "Lease-Token",
    "header",
    {"type": "string", "pattern": "^[!-~]+$"},
    "The token that the claim answered",
    required=True,
)
_STREAM: Final = {"enum": ["stdout", "stderr"]}
_PLACE: Final = {"type": "string", "pattern": "^[0-9]{1,15}([.][0-9]{1,15})?$"}
_FOLLOWING: Final = (
    " With `follow=true` the answer is a stream of server-sent events, from the beginning and on"
    " until the execution has ended. `output`: {stream, offset, base64}, the bytes as the command"
    " wrote them. `omitted`: {stream, from, to}, bytes that were not kept. `end`: {status,"
    " exit_code}, after all output; then the server closes, and a reader must not come back. The id"
    " of each event is the offset after it (of both streams, `stdout.stderr`, if none was named):"
    " sent back as Last-Event-ID it goes on there, without a byte missing or repeated. A comment"
    " comes every 15 s without news; a reader that takes nothing for 5 s is cut off."
)

_LIST: Final = (
    _any_of("job_id", None, "Executions of this job"),
    _any_of("status", _STATUSES, "Executions with this status"),
    _any_of("triggered_by", ["scheduled", "manual", "retry"], "Executions triggered so"),
    _parameter("from", "query", _MOMENT, "Created at this time or later (ISO 8601)"),
    _parameter("to", "query", _MOMENT, "Created before this time (ISO 8601)"),
    _parameter(
        "limit",
        "query",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
        "How many at most",
    ),
    _parameter(
        "offset",
        "query",
        {"type": "integer", "minimum": 0, "maximum": OFFSET_MAX, "default": 0},
        "How many to skip; not together with cursor",
    ),
    _parameter(
        "cursor",
        "query",
        {"type": "string"},
        "Where the last page ended (pagination.next_cursor), with the same filters",
    ),
)

_OF_CREATED: Final = ("getExecution", "cancelExecution", "readLogs", "executionEvents")
_OF_RETRIED: Final = ("getExecution", "cancelExecution", "executionEvents")
_OF_COMPLETED: Final = ("getExecution", "retryExecution", "readLogs")
_OF_CLAIMED: Final = ("heartbeatExecution", "appendLogs", "completeExecution")


def _links(names: tuple[str, ...], pointer: str, *, leased: bool = False) -> dict[str, Any]:
    """Return links that go on with the execution whose id stands at `pointer` of the answer."""
    parameters = {"path.execution_id": f"$response.body#{pointer}"}
    if leased:
        parameters["header.Lease-Token"] = "$response.body#/lease/token"
    return {name: {"operationId": name, "parameters": parameters} for name in names}


OPERATIONS: Final = (
    Operation(
        *("get", PATH, "listExecutions", "List executions, newest first", "executions"),
        answers={200: ("One page", wire.ExecutionList)},
        parameters=_LIST,
        errors=(400,),
        links={200: _links(("getExecution", "retryExecution"), "/data/0/id")},
    ),
    Operation(
        *("get", _ONE, "getExecution", "Get one, with its full output and logs", "executions"),
        answers={200: ("The execution", wire.ExecutionDetail)},
        parameters=(_ID,),
        errors=(400, 404),
    ),
    Operation(
        *("post", _ONE + "/retry", "retryExecution", "Run a failed one again", "executions"),
        answers={201: ("The new execution", wire.Execution)},
        scope="operate",
        parameters=(_ID, _IDEMPOTENCY),
        body=executions.Nothing,
        body_required=False,
        errors=(400, 403, 404, 409, 413, 415, 422),
        links={201: _links(_OF_RETRIED, "/id")},
    ),
    Operation(
        *("post", PATH, "createExecution", "Create a pending execution", "executions"),
        answers={
            201: ("The execution; with `claim`, and its lease", (wire.Execution, wire.Claimed))
        },
        scope="operate",
        parameters=(_IDEMPOTENCY,),
        body=wire.CreateExecution,
        errors=(400, 403, 409, 413, 415, 422),
        links={201: _links(_OF_CREATED, "/id")},
    ),
    Operation(
        *("post", _ONE + "/cancel", "cancelExecution", "Cancel", "executions"),
        answers={
            200: ("It is canceled", wire.Execution),
            202: ("Its agent was asked to end it", wire.Execution),
        },
        scope="operate",
        parameters=(_ID,),
        body=executions.Nothing,
        body_required=False,
        errors=(400, 403, 404, 409, 413, 415),
    ),
    Operation(
        *("get", _ONE + "/logs", "readLogs", "Raw output, byte for byte", "executions"),
        answers={
            200: ("The bytes that were kept, or events", (BYTES, EVENTS)),
            206: ("A range of them", BYTES),
        },
        notes=_FOLLOWING,
        parameters=(
            _ID,
            _parameter("stream", "query", _STREAM, "Which one: stdout; with follow, both"),
            _parameter(
                "tail",
                "query",
                {"type": "integer", "minimum": 0, "maximum": 1_000_000},
                "Only the last lines; not together with follow",
            ),
            _parameter(
                *("follow", "query", {"type": "boolean", "default": False}),
                "Go on as it is written",
            ),
            _parameter("Last-Event-ID", "header", _PLACE, "With follow: where to go on"),
            _parameter(
                "last_event_id",
                "query",
                _PLACE,
                "The same, for clients that cannot set a header; the header is the newer word",
            ),
        ),
        errors=(400, 404, 416),
    ),
    Operation(
        *("get", _ONE + "/events", "executionEvents", "The audit trail", "executions"),
        answers={200: ("Every event in order", wire.AuditTrail)},
        parameters=(_ID,),
        errors=(400, 404),
    ),
    Operation(
        *("get", PATH + "/missed", "missedExecutions", "What should have run", "executions"),
        answers={200: ("Jobs whose last due run did not come", wire.MissedList)},
        errors=(400,),
    ),
    Operation(
        *("post", PATH + "/claim", "claimExecution", "Take the oldest pending one", "agents"),
        answers={200: ("An execution and its lease", wire.Claimed), 204: ("There is none", None)},
        scope="agent",
        parameters=(
            _parameter("Claim-Id", "header", _KEY_SCHEMA, "The same id gives the same lease again"),
        ),
        body=wire.Claim,
        errors=(400, 403, 409, 413, 415, 422),
        links={200: _links(_OF_CLAIMED, "/execution/id", leased=True)},
    ),
    Operation(
        *("post", _ONE + "/heartbeat", "heartbeatExecution", "Renew the lease", "agents"),
        answers={200: ("It is renewed", wire.HeartbeatAnswer)},
        scope="agent",
        parameters=(_ID, _LEASE),
        body=wire.Heartbeat,
        body_required=False,
        errors=(400, 403, 404, 409, 413, 415),
    ),
    Operation(
        *("post", _ONE + "/logs", "appendLogs", "Append output at a byte offset", "agents"),
        answers={200: ("The bytes are durable", wire.LogsAnswer)},
        scope="agent",
        parameters=(
            *(_ID, _LEASE),
            _parameter("stream", "query", _STREAM, "Which one", required=True),
            _parameter(
                "offset",
                "query",
                {"type": "integer", "minimum": 0, "maximum": 1 << 53},
                "Where the bytes stand in the original output",
                required=True,
            ),
            _parameter(
                "skip_to",
                "query",
                {"type": "integer", "minimum": 0, "maximum": 1 << 53},
                "Bytes from offset up to here are left out; the body stands here",
            ),
        ),
        body=BYTES,
        body_required=False,
        errors=(400, 403, 404, 409, 413),
    ),
    Operation(
        *("post", _ONE + "/complete", "completeExecution", "Record how it ended", "agents"),
        answers={200: ("It is recorded", wire.Execution)},
        scope="agent",
        parameters=(_ID, _LEASE),
        body=wire.Complete,
        errors=(400, 403, 404, 409, 413, 415),
        links={200: _links(_OF_COMPLETED, "/id")},
    ),
    Operation(
        *("get", "/v1/agents", "listAgents", "List agents, and what they run", "agents"),
        answers={200: ("Those that were seen last", wire.AgentList)},
        errors=(400,),
    ),
    Operation(
        *("get", "/health/live", "live", "Does the process answer?", "operations"),
        answers={200: ("Yes", wire.Health)},
        scope=None,
    ),
    Operation(
        *("get", "/health/ready", "ready", "Can it record and read?", "operations"),
        answers={200: ("Yes", wire.Health), 503: ("No", wire.Health)},
        scope=None,
    ),
    Operation(
        *("get", "/metrics", "metrics", "Figures for Prometheus", "operations"),
        answers={200: ("Text format 0.0.4", "text/plain")},
    ),
)


@cache
def described() -> dict[str, Any]:
    """Return the description."""
    types: list[Any] = [problems.ProblemDocument]
    for operation in OPERATIONS:
        for kind in (operation.body, *(kind for _, kind in operation.answers.values())):
            types += [one for one in _kinds(kind) if not isinstance(one, str)]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cronledger",
            "version": "1",
            "summary": "What ran, when, on which machine, with what output, and who retried it.",
            "description": (
                "Compatible with the published Cron Executions API. One type is wider: "
                "`started_at` is null while an execution is pending, since it has not started."
            ),
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
        "security": [{"bearer": []}, {"apiKey": []}],
    }


@cache
def document() -> bytes:
    """Return the description as JSON."""
    return msgspec.json.encode(described())


def _kinds(kind: Any) -> tuple[Any, ...]:
    """Return the types that a body may be of: none, one, or any of several."""
    if kind is None:
        return ()
    return kind if isinstance(kind, tuple) else (kind,)


def _described(operation: Operation, by_type: dict[Any, Any]) -> dict[str, Any]:
    problem = {problems.MEDIA_TYPE: {"schema": by_type[problems.ProblemDocument]}}
    answers: dict[str, Any] = {}
    for status, (text, kind) in operation.answers.items():
        answers[str(status)] = {"description": text, **_content(kind, by_type)}
        if links := operation.links.get(status):
            answers[str(status)]["links"] = links
    errors = {*operation.errors, *((401, 403, 503) if operation.scope else ())}
    for status in sorted(errors):
        answers.setdefault(str(status), {"description": _ERRORS[status], "content": problem})
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": answers,
    }
    if operation.scope:
        needed = f"Needs a token with the scope `{operation.scope}`."
        described["description"] = needed + operation.notes
    else:
        described["security"] = []
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body_required,
            **_content(operation.body, by_type),
        }
    return described


def _content(kind: Any, by_type: dict[Any, Any]) -> dict[str, Any]:
    kinds = _kinds(kind)
    if not kinds:
        return {}
    if isinstance(kinds[0], str):
        text: dict[str, Any] = {"type": "string"}
        return {
            "content": {
                media: {"schema": text if media.startswith("text/") else {}} for media in kinds
            }
        }
    schemas = [by_type[one] for one in kinds]
    return {"content": {JSON: {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}}
