"""Strict reading of what a request says: query, headers and texts.

A mistyped filter must not list everything, so that an unknown or repeated parameter is an error,
and a number is digits, not something that could be turned into one.
"""

import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Final, TypeVar, get_args
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from litestar import Request
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from msgspec import Struct

from api import wire
from api.problems import Problem, invalid, not_found, of_validation
from domain import ids
from domain.events import TriggeredBy
from domain.execution import Status
from domain.names import is_name
from projections import schedules
from projections.queries import Filter
from store.keys import Keys

OFFSET_MAX: Final = 1_000_000_000
LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 100
REPEATED_MAX: Final = 10
_KEY_MAX: Final = 255
_POSITION_MAX: Final = 10**18 - 1
_VALUES_MAX: Final = 100
_MARK_LENGTH: Final = 24

_T = TypeVar("_T")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")
_VARIABLE: Final = re.compile(wire.VARIABLE_PATTERN[:-1] + r"\Z")
# A `+` that was not percent-encoded arrives as a space.
_SPACED_OFFSET: Final = re.compile(r"(?<=[0-9]) (?=[0-9]{2}(:?[0-9]{2})?\Z)")
_SCHEDULE: Final = re.compile(wire.SCHEDULE_PATTERN[:-1] + r"\Z")
_TIME_ZONE: Final = re.compile(wire.TIME_ZONE_PATTERN[:-1] + r"\Z")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}\Z")


class ListQuery(Struct, frozen=True):
    """A list request: which executions, and which page of them."""

    chosen: Filter
    limit: int
    offset: int


def ledger_of(request: Request[Any, Any, Any]) -> Any:
    """Return the `Ledger` that a request is about, as direct.py says in its scope."""
    scope: Any = request.scope
    return scope["ledger"]


# ----------------------------------------------------------------------------------------- bodies


async def body(request: Request[Any, Any, Any], shape: Callable[..., _T]) -> _T:
    """Return the JSON body of `request`. Raises `Problem` 400, 413 or 415."""
    media_type = (header(request, "content-type") or "").partition(";")[0].strip().lower()
    content = await raw_body(request)
    if media_type != "application/json" and (content or media_type):
        raise Problem(
            415,
            "unsupported_media_type",
            "The body must be JSON, declared by the header Content-Type: application/json.",
        )
    try:
        decoded: _T = _decoder(shape).decode(content or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise of_validation(error, shape) from error
    return decoded


async def raw_body(request: Request[Any, Any, Any]) -> bytes:
    """Return the body as it came. Raises litestar's 413 for one that is too large."""
    highest: int = ledger_of(request).settings.body_bytes_max
    announced = header(request, "content-length") or ""
    if announced.isdecimal() and int(announced) > highest:
        raise RequestEntityTooLarge
    size, parts, more = 0, [], True
    while more:
        if size > highest:
            raise RequestEntityTooLarge
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            raise invalid("body", "ended before its announced length")
        parts.append(message["body"])
        size += len(message["body"])
        more = message.get("more_body", False)
    if size > highest:
        raise RequestEntityTooLarge
    return b"".join(parts)


@cache
def _decoder(shape: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(shape)


def name(field: str, value: str) -> str:
    """Return `value` if it is a name: letters, digits and ``_ . : @ -``, at most 128."""
    if not is_name(value):
        raise invalid(
            field,
            "must begin with a letter or digit and hold only letters, digits and _ . : @ - "
            "(at most 128)",
        )
    return value


def variable(field: str, value: str) -> str:
    """Return `value` if it can be the name of an environment variable."""
    if not _VARIABLE.match(value):
        raise invalid(field, f"{value[:40]!r} is not the name of an environment variable")
    return value


def line(field: str, value: str) -> str:
    """Return `value` if it is one line without control characters."""
    if _CONTROL.search(value):
        raise invalid(field, "must not contain control characters such as NUL or a line break")
    return value


def title(field: str, value: str) -> str:
    """Return `value` if it is a name for people: one line that holds more than blanks."""
    if not value.strip(" "):
        raise invalid(field, "must not be blank")
    return line(field, value)


def text(field: str, value: str) -> str:
    """Return `value` if it holds no NUL character, which no command or variable can hold."""
    if "\0" in value:
        raise invalid(field, "must not contain a NUL character")
    return value


def schedule(field: str, value: str) -> str:
    """Return `value` if it is a schedule: five fields of cron, or a name such as @daily."""
    if not _SCHEDULE.match(value):
        raise invalid(field, "must be five fields of cron, or a name such as @daily")
    try:
        schedules.check(value)
    except ValueError as error:
        raise invalid(field, str(error)) from error
    return value


def time_zone(field: str, value: str) -> str:
    """Return `value` if it is the name of an IANA time zone that this server knows."""
    if not _TIME_ZONE.match(value) or schedules.zone(value) is None:
        raise invalid(field, "is no IANA time zone that this server knows, such as Europe/Berlin")
    return value


def moment(field: str, value: str) -> datetime:
    """Return an ISO 8601 date or date-time; without an offset it is UTC."""
    try:
        parsed = (
            datetime.combine(date.fromisoformat(value), datetime.min.time())
            if len(value) == len("2026-01-01")
            or (len(value) == len("20260101") and value.isdigit())
            else datetime.fromisoformat(value)
        )
        parsed = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed
        return parsed.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise invalid(
            field, f"{value[:40]!r} is not an ISO 8601 date or time such as 2026-01-31T12:00:00Z"
        ) from error


# ---------------------------------------------------------------------------------------- headers


def header(request: Request[Any, Any, Any], name: str) -> str | None:
    """Return the first header of this name, None if there is none."""
    # Straight from the connection: an object that holds all of them costs more than this loop.
    wanted = name.lower().encode("latin-1")
    for key, value in request.scope["headers"]:
        if key == wanted:
            return value.decode("latin-1")
    return None


def idempotency_key(request: Request[Any, Any, Any], name: str) -> str | None:
    """Return the value of Idempotency-Key or Claim-Id, None if it is absent."""
    value = header(request, name)
    if value is None:
        return None
    if not 0 < len(value) <= _KEY_MAX or not value.isascii() or not value.isprintable():
        raise invalid(name, f"must be 1 to {_KEY_MAX} printable ASCII characters")
    return value


def fingerprint(request: Request[Any, Any, Any], decoded: object) -> bytes:
    """Return what tells whether two requests with one key are the same request."""
    said = msgspec.json.encode(decoded, order="deterministic")
    keys: Keys = ledger_of(request).keys
    return keys.fingerprint(f"{request.method} {request.scope['path']}\n".encode() + said)


# ------------------------------------------------------------------------------------------ paths


def execution_id(request: Request[Any, Any, Any]) -> UUID:
    """Return the id in the path. What is no id is not there either: 404."""
    value = ids.from_text(ids.EXECUTION, request.scope["path_params"]["execution_id"])
    if value is None:
        raise not_found()
    return value


# ------------------------------------------------------------------------------------------ query


def query(
    request: Request[Any, Any, Any], known: Iterable[str], repeatable: Iterable[str] = ()
) -> dict[str, list[str]]:
    """Return the query parameters. Raises `Problem` for an unknown or repeated one."""
    if not request.scope["query_string"]:
        return {}
    try:
        pairs = parse_qsl(
            request.scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            strict_parsing=False,
            errors="strict",
            max_num_fields=_VALUES_MAX,
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise invalid(
            "query", "is not valid percent-encoded UTF-8, or has too many parts"
        ) from error
    values: dict[str, list[str]] = {}
    known = tuple(known)
    for key, value in pairs:
        if key not in known:
            hint = f"known are {', '.join(known)}" if known else "none is taken"
            raise invalid(key[:40], f"is not a parameter here; {hint}")
        values.setdefault(key, []).append(text(key, value))
    for key, given in values.items():
        if len(given) > 1 and key not in repeatable:
            raise invalid(key, "is given twice")
        if len(given) > REPEATED_MAX:
            raise invalid(key, f"is given more than {REPEATED_MAX} times")
    return values


def integer(
    values: Mapping[str, list[str]], key: str, default: int, lowest: int, highest: int
) -> int:
    """Return a whole number from the query."""
    if key not in values:
        return default
    value = values[key][0]
    if not _INTEGER.match(value) or not lowest <= int(value) <= highest:
        raise invalid(key, f"must be a whole number from {lowest} to {highest}")
    return int(value)


def boolean(values: Mapping[str, list[str]], key: str) -> bool:
    """Return a yes or no from the query; no if it is absent."""
    value = values.get(key, ["false"])[0]
    if value not in {"true", "false"}:
        raise invalid(key, "must be true or false")
    return value == "true"


REPEATABLE: Final = ("job_id", "status", "triggered_by")
_LIST_PARAMETERS: Final = (
    *("job_id", "status", "triggered_by", "from", "to"),
    *("limit", "offset", "cursor", "as_of"),
)


def list_query(request: Request[Any, Any, Any]) -> ListQuery:
    """Return what a list request asks for. Raises `Problem` 400."""
    values = query(request, _LIST_PARAMETERS, repeatable=REPEATABLE)
    return listed(values, ledger_of(request).keys)


def listed(values: Mapping[str, list[str]], keys: Keys) -> ListQuery:
    """Return what the parameters of a list ask for. Raises `Problem` 400."""
    if "cursor" in values and "offset" in values:
        raise invalid("cursor", "cannot be given together with offset")
    chosen = Filter(
        job_id=job_ids(values),
        status=_any_of(values, "status", get_args(Status)),
        triggered_by=_any_of(values, "triggered_by", get_args(TriggeredBy)),
        created_from=bound(values, "from"),
        created_to=bound(values, "to"),
        as_of=as_of(values),
    )
    if chosen.created_from and chosen.created_to and chosen.created_from > chosen.created_to:
        raise invalid("from", "must not be after to")
    limit = integer(values, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX)
    offset = integer(values, "offset", 0, 0, OFFSET_MAX)
    if offset and chosen.as_of is not None:
        raise invalid("offset", "cannot be given together with as_of; go on with cursor")
    if "cursor" in values:
        before = _read_cursor(keys, values["cursor"][0], chosen)
        chosen = msgspec.structs.replace(chosen, before=before)
    return ListQuery(chosen, limit, offset)


def job_ids(values: Mapping[str, list[str]]) -> tuple[str, ...]:
    """Return the jobs that a query names, each once; none are all."""
    given = values.get("job_id", ())
    if "" in given:
        # The counters keep all jobs together under it.
        raise invalid("job_id", "must not be empty; without it, all jobs are meant")
    return tuple(sorted(set(given)))


def cursor(keys: Keys, chosen: Filter, last: UUID) -> str:
    """Return the opaque cursor that goes on after `last`, bound to the filters."""
    return ids.to_text("cur", last) + _cursor_mark(keys, chosen, last)


def _read_cursor(keys: Keys, value: str, chosen: Filter) -> UUID:
    before = ids.from_text("cur", value[:-_MARK_LENGTH])
    mark = value[-_MARK_LENGTH:].encode()
    if before is None or not hmac.compare_digest(mark, _cursor_mark(keys, chosen, before).encode()):
        raise invalid(
            "cursor", "is none that this API gave out, or is of other filters; begin without it"
        )
    return before


def _cursor_mark(keys: Keys, chosen: Filter, last: UUID) -> str:
    said = msgspec.json.encode(msgspec.structs.replace(chosen, before=last))
    return keys.cursor_mark(said)[:_MARK_LENGTH]


def bound(values: Mapping[str, list[str]], key: str) -> datetime | None:
    """Return a time from the query, None if it is absent."""
    if key not in values:
        return None
    value = values[key][0]
    return moment(key, _SPACED_OFFSET.sub("+", value) if "T" in value else value)


def as_of(values: Mapping[str, list[str]]) -> int | datetime | None:
    """Return as of which position (a whole number) or time an answer is wanted; None for now."""
    if "as_of" not in values:
        return None
    if values["as_of"][0].isdecimal():
        return integer(values, "as_of", 0, 0, _POSITION_MAX)
    try:
        return bound(values, "as_of")
    except Problem:
        raise invalid(
            "as_of", "must be a position, or an ISO 8601 date or time such as 2026-01-31T12:00:00Z"
        ) from None


def _any_of(values: Mapping[str, list[str]], key: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    given = values.get(key, ())
    for value in given:
        if value not in allowed:
            raise invalid(key, f"{value[:40]!r} is none of {', '.join(allowed)}")
    return tuple(sorted(set(given)))
