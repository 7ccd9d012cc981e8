"""Errors as RFC 9457 problem documents: one sentence a person can act on, one code for programs."""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
import psycopg
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import UNSET, Struct, UnsetType
from psycopg_pool import PoolTimeout, TooManyRequests

from api import answers, choices
from domain import errors
from store.appender import DiskFull, Unavailable
from store.mapper import UnreadableEvent

_log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"


class Detail(Struct):
    """One field that is wrong, and how."""

    field: str
    message: str


class ErrorBody(Struct):
    """The public error object."""

    code: str
    message: str
    details: list[Detail]


class ProblemDocument(Struct, omit_defaults=False):
    """The body of every error (RFC 9457), with the member `error` for programs."""

    type: str
    title: str
    status: int
    detail: str
    error: ErrorBody
    expected_offset: int | UnsetType = UNSET


class Problem(Exception):
    """An error answer. `detail` is the sentence; `fields` names what is wrong where."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        fields: Sequence[tuple[str, str]] = (),
        headers: dict[str, str] | None = None,
        expected_offset: int | UnsetType = UNSET,
    ) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.fields = fields
        self.headers = headers or {}
        self.expected_offset = expected_offset
        super().__init__(detail)


# The names of RFC 9110; Python's own changed with its version.
_TITLES: Final[dict[int, str]] = {
    413: "Content Too Large",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
# What the framework says of these is only their name.
_DETAILS: Final[dict[int, str]] = {
    404: "There is nothing at this path; /docs lists what there is.",
    405: "This path does not take this method; the header Allow names those that it takes.",
    413: "The body is larger than this server takes (its setting CRONLEDGER_BODY_BYTES_MAX).",
}
_CODES: Final[dict[int, str]] = {
    400: "validation_error",
    401: "authentication_required",
    403: "forbidden",
    404: "resource_not_found",
    405: "method_not_allowed",
    409: "conflict",
    410: "erased",
    412: "precondition_failed",
    413: "payload_too_large",
    415: "unsupported_media_type",
    422: "idempotency_mismatch",
    429: "rate_limited",
    503: "unavailable",
}


def invalid(field: str, message: str) -> Problem:
    """Return the problem of one wrong field; the sentence names it."""
    return Problem(400, "validation_error", f"{field}: {message}", fields=[(field, message)])


def not_found() -> Problem:
    """Return the problem of an execution that is not there."""
    return _of_refusal(errors.ExecutionNotFound())


def of_validation(error: Exception, shape: Any) -> Problem:
    """Return the problem of a body that msgspec did not accept for `shape`."""
    text = str(error)
    message, _, path = text.partition(" - at `")
    field = path.rstrip("`").removeprefix("key in ").removeprefix("$").lstrip(".")
    if not isinstance(error, msgspec.ValidationError):
        return invalid("body", f"is not valid JSON ({message})")
    if message.startswith("Object contains unknown field `"):
        name = message.split("`")[1]
        return invalid(f"{field}.{name}" if field else name, "is not a field of this request")
    if message.startswith("Object missing required field `"):
        name = message.split("`")[1]
        return invalid(f"{field}.{name}" if field else name, "is required")
    if message.startswith("Invalid enum value") and (words := choices.at(shape, field)):
        return invalid(field, f"must be {'one of ' if len(words) > 1 else ''}{', '.join(words)}")
    return invalid(field or "body", message)


def _of_refusal(refusal: errors.Refusal) -> Problem:
    if isinstance(refusal, errors.ExecutionNotFound | errors.JobNotFound):
        status = HTTPStatus.NOT_FOUND
    elif isinstance(refusal, errors.IdempotencyMismatch):
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    else:
        status = HTTPStatus.CONFLICT
    return Problem(status, refusal.code, str(refusal))


def _unavailable(error: Exception) -> Problem:
    if isinstance(error, DiskFull | psycopg.errors.DiskFull):
        return Problem(
            503,
            "unavailable",
            DiskFull.__doc__ or "",
            headers={"Retry-After": "10"},
        )
    return Problem(
        503,
        "unavailable",
        error.__doc__ or "Try again in a moment."
        if isinstance(error, Unavailable)
        else "The database cannot be reached at the moment. Try again in a moment.",
        headers={"Retry-After": "1"},
    )


def problem_of(error: Exception) -> Problem:
    """Return the problem that answers `error`; what nobody foresaw is logged, never shown."""
    match error:
        case Problem():
            return error
        case errors.Refusal():
            return _of_refusal(error)
        case UnreadableEvent():
            return _of_refusal(errors.UnreadableStream(reason=str(error)))
        case Unavailable() | PoolTimeout() | TooManyRequests() | psycopg.OperationalError():
            return _unavailable(error)
        case HTTPException():
            code = _CODES.get(error.status_code, "internal_error")
            detail = _DETAILS.get(error.status_code, error.detail)
            return Problem(error.status_code, code, detail, headers=dict(error.headers or {}))
    _log.error("unforeseen error", exc_info=error)
    return Problem(
        500, "internal_error", "Something went wrong on the server. Its log says what; try again."
    )


def respond(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer any exception (litestar's exception handler)."""
    problem = problem_of(error)
    document = ProblemDocument(
        type="about:blank",
        title=_TITLES.get(problem.status) or HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        error=ErrorBody(
            code=problem.code,
            message=problem.detail,
            details=[Detail(field, message) for field, message in problem.fields],
        ),
        expected_offset=problem.expected_offset,
    )
    answers.counts[problem.status] += 1
    return Response(
        msgspec.json.encode(document),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )
