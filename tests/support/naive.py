"""The rules once more, written plainly from the stored JSON: nothing of the product is used here.

What the product folds with frozen structs is folded here with dicts, from what
``docs`` and the events say. Two implementations that were written apart seldom err alike.
"""

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

Event = Mapping[str, Any]
Row = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FINALS: Final = ("completed", "timed_out", "canceled", "lost", "not_started")

# Where a stream may stand, and where each event leads from there. An end that the agent itself
# reported is `told`; one that the server declared is `untold` until the agent's word comes late.
_PATHS: Final[dict[str, dict[str, str]]] = {
    "nothing": {
        "created": "pending",
        "created held": "held",
        "schedule.missed": "passed",
        "schedule.skipped": "passed",
    },
    "passed": {},
    "held": {"released": "pending", "canceled by server": "told", "not_started": "told"},
    "pending": {"started": "running", "canceled by server": "told", "not_started": "told"},
    "running": {
        "completed": "told",
        "timed_out by agent": "told",
        "timed_out by server": "untold",
        "lost by server": "untold",
        "cancel_requested": "canceling",
    },
    "canceling": {
        "completed": "told",
        "timed_out by agent": "told",
        "timed_out by server": "untold",
        "lost by server": "untold",
        "canceled by agent": "told",
        "canceled by server": "untold",
    },
    "told": {"retried": "told", "bodies_erased": "told"},
    "untold": {
        "retried": "untold",
        "bodies_erased": "untold",
        "outcome_reported_late": "told",
    },
}


def short(event: Event) -> str:
    """The type of an event in a word."""
    return str(event["type"]).removeprefix("execution.")


def payload(event: Event) -> dict[str, Any]:
    """What is stored of an event."""
    return dict(json.loads(event["payload"]))


def leaf_hash(event: Event, previous: bytes) -> bytes:
    """The hash of an event, as the migration's comment and store/chain.py describe it."""
    numbers = struct.pack(
        ">QQqq",
        event["position"],
        event["commit_number"],
        (event["occurred_at"] - _EPOCH) // timedelta(microseconds=1),
        (event["recorded_at"] - _EPOCH) // timedelta(microseconds=1),
    )
    names = ("ledger_id", "stream_id", "command_id", "correlation_id")
    text = previous + numbers + b"".join(event[name].bytes for name in names)
    text += struct.pack(">IH", event["version"], event["schema_version"])
    for part in (event["type"].encode(), event["actor"].encode(), event["payload"]):
        text += struct.pack(">I", len(part)) + part
    return hashlib.sha256(text).digest()


def first_hash(ledger_id: UUID) -> bytes:
    """What stands before the first event."""
    return hashlib.sha256(b"cronledger:1:" + ledger_id.bytes).digest()


def wrong_steps(stream: Iterable[Event]) -> list[str]:
    """Where a stream leaves the legal paths."""
    wrong, place, status, hurried = [], "nothing", "", False
    for event in stream:
        step, body = short(event), payload(event)
        if "observed_by" in body:
            step += f" by {body['observed_by']}"
        if "held" in body:
            step += " held"
        hurried = hurried or "start_deadline_seconds" in body
        if (
            step not in _PATHS[place]
            or (step == "retried" and status not in {"failed", "timeout"})
            or (step == "not_started" and not hurried)
        ):
            wrong.append(f"{step} at version {event['version']} when {place} ({status})")
            break
        place = _PATHS[place][step]
        status = _status(short(event), body) or status
    return wrong


def rows(log: Iterable[Event]) -> dict[UUID, Row]:
    """The read model's rows, folded from the whole log in order of position."""
    found: dict[UUID, Row] = {}
    for event in log:
        if short(event) == "created":
            found[event["stream_id"]] = _created(event)
        elif event["stream_id"] in found:
            _apply(found[event["stream_id"]], event)
    return found


def _created(event: Event) -> Row:
    body = payload(event)
    at = body.get("scheduled_for")
    never = dict.fromkeys(
        (
            *("retried_as", "started_at", "cancel_requested_at", "completed_at", "duration_ms"),
            *("exit_code", "signal", "failure_reason", "observed_by", "agent_id"),
            *("stdout_kept_bytes", "stderr_kept_bytes"),
            *("late_outcome", "late_exit_code", "late_reported_at"),
        )
    )
    return {
        **never,
        "masked": False,
        "id": event["stream_id"],
        "position": event["position"],
        "version": event["version"],
        "attempt": body["attempt"],
        "status": "pending",
        "triggered_by": body["triggered_by"],
        "job_id": body["job_id"],
        "configuration": body["configuration"]["sha256"],
        "root_id": UUID(body["root_id"]),
        "retry_of": UUID(body["retry_of"]) if "retry_of" in body else None,
        "scheduled_for": datetime.fromisoformat(at) if at else None,
        "timeout_seconds": body["timeout_seconds"],
        "pinned_agent_id": body.get("pinned_agent_id"),
        "labels": body.get("labels"),
        "start_deadline_seconds": body.get("start_deadline_seconds"),
        "held": body.get("held"),
    }


def _apply(row: Row, event: Event) -> None:
    body, kind, at = payload(event), short(event), event["occurred_at"]
    row["position"], row["version"] = event["position"], event["version"]
    row["status"] = _status(kind, body) or row["status"]
    if kind == "released" or row["status"] != "pending":
        row["held"] = None
    if kind == "started":
        row["agent_id"], row["started_at"] = body["agent_id"], at
    elif kind == "cancel_requested":
        row["cancel_requested_at"] = at
    elif kind == "retried":
        row["retried_as"] = UUID(body["retried_as"])
    elif kind == "outcome_reported_late":
        row["late_outcome"], row["late_reported_at"] = body["outcome"], at
        row["late_exit_code"] = body["ending"].get("exit_code")
        _keep_sizes(row, body["ending"])
    elif kind in FINALS:
        ending = body.get("ending")
        row["completed_at"] = at
        row["observed_by"] = body.get("observed_by", "agent")
        if kind == "not_started":
            row["observed_by"], row["failure_reason"] = "server", "not_started"
        row["duration_ms"] = ending["duration_ms"] if ending else 0
        if ending:
            for name in ("exit_code", "signal", "failure_reason"):
                row[name] = ending.get(name)
            _keep_sizes(row, ending)


def _keep_sizes(row: Row, ending: Mapping[str, Any]) -> None:
    for stream in ("stdout", "stderr"):
        row[f"{stream}_kept_bytes"] = ending[stream]["kept_bytes"]
    row["masked"] = ending.get("masked", False)


def erased_configurations(log: Iterable[Event]) -> set[str]:
    """Digests of the configurations that may be absent: erased, and not named again since."""
    gone: set[str] = set()
    for event in log:
        body = payload(event)
        if event["type"] == "job.bodies_erased":
            gone |= set(body["bodies"])
        elif event["type"] in {"job.created", "job.changed"}:
            gone -= {body[name]["sha256"] for name in ("configuration", "definition")}
        elif short(event) == "bodies_erased":
            gone |= {body["configuration"]} if "configuration" in body else set()
        elif short(event) == "created" and "retry_of" not in body:
            gone.discard(body["configuration"]["sha256"])
    return gone


def erased_at(stream: Iterable[Event], body: str) -> int:
    """The version of the last event that erased a body of this stream, 0 if there is none."""
    return max(
        (e["version"] for e in stream if short(e) == "bodies_erased" and payload(e).get(body)),
        default=0,
    )


def _status(kind: str, body: Mapping[str, Any]) -> str | None:
    """The status that an event leads to, None if it leaves it alone."""
    if kind == "completed":
        ending = body["ending"]
        well = ending.get("exit_code") == 0 and ending.get("failure_reason") is None
        return "success" if well else "failed"
    return {
        "created": "pending",
        "started": "running",
        "timed_out": "timeout",
        "canceled": "canceled",
        "lost": "failed",
        "not_started": "failed",
    }.get(kind)
