"""What JSON Schema cannot say, for schemathesis: valid cases are repaired, none is left out.

Each repair names the rule, which has a test of its own beside this file. Only cases that the
schema takes for valid are repaired; no check is switched off. Long polls are shortened in all.
"""

import itertools
from datetime import UTC, datetime
from typing import Any, Final

import schemathesis
from schemathesis import Case, GenerationMode, HookContext

from tests.contract import schemathesis_jobs

_LONGEST_POLL_SECONDS: Final = 0.05
_WAIT_SECONDS_MAX: Final = 30
_LONG_WAITS: Final = frozenset(map(str, range(1, _WAIT_SECONDS_MAX + 1)))
_KEYS: Final = frozenset({"Idempotency-Key", "Claim-Id"})
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_TIME: Final = slice(5, 15)  # the characters of an id that hold its 48 bits of milliseconds
_numbers: Final = itertools.count(1)


@schemathesis.hook
def map_case(context: HookContext, case: Case[Any]) -> Case[Any]:  # noqa: ARG001 - the hook's signature
    """Repair one generated case."""
    body: Any = case.body
    wait: Any = body.get("wait_seconds") if isinstance(body, dict) else None
    if type(wait) in {int, float} and _LONGEST_POLL_SECONDS < wait <= _WAIT_SECONDS_MAX:
        # A long poll that waits as it should is no slow answer.
        body["wait_seconds"] = _LONGEST_POLL_SECONDS
    if str((case.query or {}).get("follow")).lower() == "true":
        # Of an execution that nobody runs the stream never ends; test_follow.py follows some.
        case.query["follow"] = "false"
    if case.operation.path == "/v1/events":
        _shorten_events(case)
    mode = None if case.meta is None else case.meta.generation.mode
    headers: Any = case.headers or {}
    if headers.pop("Last-Event-ID", None) is not None and mode == GenerationMode.NEGATIVE:
        # Whoever does not follow has no use for it, so that a wrong one is no reason to refuse.
        case.query = {**(case.query or {}), "follow": "neither"}
    if mode == GenerationMode.POSITIVE:
        if isinstance(body, dict):
            # For JSON Schema 5.0 is an integer; for this API it is none.
            case.body = body = _without_integral_floats(body)
        for name in _KEYS.intersection(case.headers):
            # One key is for one request.
            case.headers[name] = f"{case.headers[name][:200]}-{next(_numbers)}"
        if "as_of" in (case.query or {}):
            # A position that has come, or a time that has passed; and no offset beside it.
            case.query["as_of"] = "0"
            case.query.pop("offset", None)
        _repair(case, case.operation.definition.raw.get("operationId"))
    return case


def _repair(case: Case[Any], operation: str | None) -> None:
    body: Any = case.body
    if operation == "listExecutions":
        _repair_list(case)
    elif operation == "executionStatistics":
        _repair_statistics(case)
    elif operation in {"readLogs", "ledgerEvents"}:
        # A place to go on is only for who follows, and one that was never reached is refused.
        case.query.pop("last_event_id", None)
        case.query.pop("after", None)
    elif operation == "eraseBodies":
        # Output that is gone is a 410, which the tool takes for a refusal: see test_erasure.py.
        case.body, case.media_type = {"bodies": ["messages"]}, "application/json"
    elif isinstance(body, dict) and operation == "createExecution":
        _repair_create(body)
    elif isinstance(body, dict) and operation == "completeExecution":
        _repair_report(body)
    else:
        schemathesis_jobs.repair(operation, case)


def _shorten_events(case: Case[Any]) -> None:
    # Live events never end, and also come to who only says so in Accept: test_events.py follows.
    case.query = {"follow": "false", **(case.query or {})}
    if "true" in str(case.query["follow"]).lower():
        case.query["follow"] = "neither"
    if str(case.query.get("wait_seconds")) in _LONG_WAITS:
        case.query["wait_seconds"] = "0"


def _without_integral_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_integral_floats(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_integral_floats(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _repair_list(case: Case[Any]) -> None:
    query = case.query
    # A cursor is what this API gave out for the same filters, and stands instead of an offset.
    query.pop("cursor", None)
    moments = {name: _moment(query[name]) for name in ("from", "to") if name in query}
    for name, moment in moments.items():
        # RFC 3339 has leap seconds, and offsets that lead out of the calendar; a clock has not.
        if moment is None:
            del query[name]
    first, last = moments.get("from"), moments.get("to")
    if first is not None and last is not None and first > last:
        query["from"], query["to"] = query["to"], query["from"]


def _repair_statistics(case: Case[Any]) -> None:
    _repair_list(case)
    # An answer has so many parts at most: here those of the default time before `to`.
    case.query.pop("from", None)
    if "to" in case.query and case.query.get("interval") == "all":
        del case.query["interval"]


def _repair_create(body: dict[str, Any]) -> None:
    # A secret is the name of a variable that is given, and its value stands nowhere else.
    body["secrets"] = []
    # Only a run that its creator claims may have no timeout; 3,600 s is a setting.
    timeout = body.get("timeout_seconds", 1)
    if (timeout is None and body.get("claim") is None) or (timeout is not None and timeout > 3600):
        body["timeout_seconds"] = 3600
    # An id lies in the past: its first part is the time of creation.
    if "id" in body and _milliseconds(body["id"]) > datetime.now(UTC).timestamp() * 1000:
        body["id"] = "exec_01" + body["id"][7:]
    command = body["command"]
    if isinstance(command, str) and not command.strip():
        body["command"] = "true"
    elif isinstance(command, list) and not command[0].strip():
        command[0] = "true"
    scheduled_for = body.get("scheduled_for")
    if scheduled_for is not None and _moment(scheduled_for) is None:
        body["scheduled_for"] = None
    _repair_claim_at_birth(body)
    # A schedule is one that comes round, and a time zone one that there is.
    if body.get("expected_schedule") is not None:
        body["expected_schedule"] = f"{len(body['expected_schedule']) % 60} 3 * * 1-5"
    if body.get("expected_timezone") is not None:
        zone = "Europe/Berlin" if body.get("expected_schedule") is not None else None
        body["expected_timezone"] = zone


def _repair_claim_at_birth(body: dict[str, Any]) -> None:
    claim = body.get("claim")
    if claim is None:
        return
    # Labels say who may run it, a claim who does.
    body["labels"] = []
    # When it began is told only of a run whose id was made then.
    if claim.get("started_at") is not None:
        made = _milliseconds(body["id"]) / 1000 if "id" in body else None
        began = None if made is None else datetime.fromtimestamp(made, UTC).isoformat()
        claim["started_at"] = began


def _repair_report(body: dict[str, Any]) -> None:
    # A process that exited has an exit code, unless a reason says why there is none.
    if body.get("outcome") == "exited" and body.get("exit_code") is None:
        body["exit_code"] = 0
    # Of an end that nobody saw there is none.
    if body.get("failure_reason") == "agent_lost" and body.get("exit_code") is not None:
        del body["failure_reason"]
    # An end lies between the start of the execution and now.
    body.pop("ended_at", None)
    # Output comes with the report or was streamed before, not both.
    if body.get("output") is not None:
        body.pop("stdout_bytes", None)


def _milliseconds(execution_id: str) -> int:
    number = 0
    for letter in execution_id[_ID_TIME]:
        number = number << 5 | _ALPHABET.index(letter)
    return number


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
