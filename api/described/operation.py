"""What the OpenAPI description says of one operation, and the parts that many of them share."""

from typing import Any, Final

from msgspec import Struct, field

from api import wire
from api.parameters import REPEATED_MAX
from api.routes.executions import PATH

BYTES: Final = "application/octet-stream"
EVENTS: Final = "text/event-stream"
ONE: Final = PATH + "/{execution_id}"


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


def parameter(
    name: str, place: str, schema: dict[str, Any], text: str, *, required: bool = False
) -> dict[str, Any]:
    """Return the description of a parameter; `place` is path, query or header."""
    return {
        "name": name,
        "in": place,
        "required": required or place == "path",
        "description": text,
        "schema": schema,
    }


def any_of(
    name: str, values: list[str] | None, text: str, *, length_min: int = 0
) -> dict[str, Any]:
    """Return the description of a query parameter that may be repeated."""
    items: dict[str, Any] = {"type": "string"} if values is None else {"enum": values}
    if values is None:
        items |= {"pattern": wire.NO_NUL_PATTERN, "minLength": length_min}
    schema = {"type": "array", "items": items, "minItems": 1, "maxItems": REPEATED_MAX}
    return parameter(name, "query", schema, text + "; repeat it for any of several") | {
        "style": "form",
        "explode": True,
    }


MOMENT: Final = {"type": "string", "format": "date-time"}
ID: Final = parameter("execution_id", "path", {"type": "string"}, "The id of an execution")
KEY_SCHEMA: Final = {"type": "string", "pattern": "^[ -~]{1,255}$"}
IDEMPOTENCY: Final = parameter(
    "Idempotency-Key",
    "header",
    KEY_SCHEMA,
    "The same key and request give the same answer again (a lease only while it lasts)",
)
STREAM: Final = {"enum": ["stdout", "stderr"]}


def links(names: tuple[str, ...], pointer: str, *, leased: bool = False) -> dict[str, Any]:
    """Return links that go on with the execution whose id stands at `pointer` of the answer."""
    parameters = {"path.execution_id": f"$response.body#{pointer}"}
    if leased:
        parameters["header.Lease-Token"] = "$response.body#/lease/token"
    return {name: {"operationId": name, "parameters": parameters} for name in names}
