"""The OpenAPI description of this API, built from the wire structs that it is served with."""

from functools import cache
from typing import Any, Final

import msgspec

from api import problems
from api.described import (
    agents,
    erasure,
    events,
    executions,
    jobs,
    operations,
    reactions,
    schedule,
    statistics,
)
from api.described.operation import Operation

OPERATIONS: Final = (
    *executions.OPERATIONS,
    *statistics.OPERATIONS,
    *events.OPERATIONS,
    *jobs.OPERATIONS,
    *schedule.OPERATIONS,
    *reactions.OPERATIONS,
    *agents.OPERATIONS,
    *erasure.OPERATIONS,
    *operations.OPERATIONS,
)

_REF: Final = "#/components/schemas/{name}"
_JSON: Final = "application/json"
_ERRORS: Final = {
    400: "A parameter or the body is wrong; the sentence names the field",
    401: "The access token is missing, unknown, revoked or expired",
    403: "The access token is not allowed to do this",
    404: "There is no such execution, job or webhook",
    409: "The execution's status does not allow this; the sentence names the allowed ones",
    410: "It was erased; the sentence says when",
    412: "The job is at another version than If-Match says",
    413: "The body is too large",
    415: "The body is not declared as JSON",
    416: "There are no such bytes",
    422: "The Idempotency-Key was used with another request",
    503: "The database is away or the server is full; try again after Retry-After",
}


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
    content: dict[str, Any] = {}
    if schemas := [by_type[one] for one in kinds if not isinstance(one, str)]:
        content[_JSON] = {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
    for media in kinds:
        if isinstance(media, str):
            text: dict[str, Any] = {"type": "string"}
            content[media] = {"schema": text if media.startswith("text/") else {}}
    return {"content": content}
