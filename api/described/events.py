"""The operations on the log itself: the history of one execution, and the whole ledger."""

from typing import Any, Final

from api.described.operation import EVENTS, ID, ONE, Operation, any_of, parameter
from api.routes.events import (
    EVENTS_PATH,
    LIMIT_DEFAULT,
    LIMIT_MAX,
    POSITION_MAX,
    TYPE_PATTERN,
    WAIT_SECONDS_MAX,
)
from api.wire_audit import AuditTrail, LedgerEvents
from projections.feed import STREAMS_MAX, WINDOW

_TRAIL: Final = (
    " Each event comes with the state after it. `request_id` names the request that caused it. An"
    " event that this server cannot read is marked with the reason, shown as it is stored, and"
    " changes no state."
)
_FEED: Final = (
    " Positions have no holes and are committed in their order, so that going on after the last"
    " position neither skips nor repeats an event, for ever. `pagination.next_after` says how far"
    " was looked; at the head it is `after` again. With filters a page may be short or empty"
    f" before the head: it looks at {WINDOW:,} positions at most, unless it is about executions, or"
    f" jobs with at most {STREAMS_MAX:,} executions, which are found directly. With `follow=true`,"
    " or if the client accepts it, the answer is an endless stream of server-sent events."
    " `recorded` is one event, `position` says how far was looked without a match; the id of both"
    " is the position, and sent back as Last-Event-ID the stream goes on there. A comment comes"
    " every 15 s without news; a reader that takes nothing for 5 s is cut off. A place that the"
    " ledger has not reached is a 409."
)
_POSITION: Final = {"type": "integer", "minimum": 0, "maximum": POSITION_MAX, "default": 0}
_PLACE: Final = {"type": "string", "pattern": "^[0-9]{1,15}$"}
_EXECUTION: Final = "^exec_[0-7][0-9a-hjkmnp-tv-z]{25}$"


def _typed(name: str, pattern: str, text: str) -> dict[str, Any]:
    described = any_of(name, None, text)
    described["schema"]["items"]["pattern"] = pattern
    return described


OPERATIONS: Final = (
    Operation(
        *("get", ONE + "/events", "executionEvents", "The audit trail", "events"),
        answers={200: ("Every event in order", AuditTrail)},
        notes=_TRAIL,
        parameters=(ID,),
        errors=(400, 404),
    ),
    Operation(
        *("get", EVENTS_PATH, "ledgerEvents", "The whole ledger in order", "events"),
        answers={200: ("One page, or events", (LedgerEvents, EVENTS))},
        notes=_FEED,
        parameters=(
            parameter("after", "query", _POSITION, "Only what was recorded after this position"),
            parameter(
                "limit",
                "query",
                {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
                "How many at most; not together with follow",
            ),
            parameter(
                "wait_seconds",
                "query",
                {"type": "integer", "minimum": 0, "maximum": WAIT_SECONDS_MAX, "default": 0},
                "Wait so long for the first; not together with follow",
            ),
            _typed("type", TYPE_PATTERN, "Events of this type, whether known here or not"),
            any_of(
                *("job_id", None, "Events of this job, of its executions and due times"),
                length_min=1,
            ),
            _typed("execution_id", _EXECUTION, "Events of this execution"),
            parameter(
                *("follow", "query", {"type": "boolean", "default": False}),
                "Go on as events are recorded",
            ),
            parameter("Last-Event-ID", "header", _PLACE, "With follow: where to go on"),
            parameter(
                "last_event_id",
                "query",
                _PLACE,
                "The same, for clients that cannot set a header; the header is the newer word",
            ),
        ),
        errors=(400, 409),
    ),
)
