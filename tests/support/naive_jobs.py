"""The rules of jobs once more, written plainly from the stored JSON, like naive.py."""

import json
from collections.abc import Iterable
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from tests.support.naive import Event, Row, payload

_STREAMS: Final = uuid5(NAMESPACE_URL, "urn:cronledger:job-stream")
# Where a job may stand, and where each event leads from there.
_PATHS: Final[dict[str, dict[str, str]]] = {
    "nothing": {"job.created": "enabled"},
    "enabled": {"job.changed": "enabled", "job.paused": "paused", "job.deleted": "deleted"},
    "paused": {"job.changed": "paused", "job.resumed": "enabled", "job.deleted": "deleted"},
    "deleted": {"job.created": "enabled"},
}
for _place in ("enabled", "paused", "deleted"):
    _PATHS[_place]["job.bodies_erased"] = _place


def is_job(event: Event) -> bool:
    """Whether an event belongs to a job's stream."""
    return str(event["type"]).startswith("job.")


def stream_of(job_id: str) -> UUID:
    """The stream of a job."""
    return uuid5(_STREAMS, job_id)


def wrong_steps(stream: Iterable[Event]) -> list[str]:
    """Where a job's stream leaves the legal paths."""
    place = "nothing"
    for event in stream:
        if event["type"] not in _PATHS[place]:
            return [f"{event['type']} at version {event['version']} when {place}"]
        place = _PATHS[place][event["type"]]
    return []


def rows(log: Iterable[Event]) -> dict[UUID, Row]:
    """The jobs read model's rows, folded from the whole log in order of position."""
    found: dict[UUID, Row] = {}
    for event in log:
        if event["type"] == "job.created":
            found[event["stream_id"]] = {
                "id": event["stream_id"],
                "job_id": payload(event)["job_id"],
                "created_at": event["occurred_at"],
            }
        row = found.get(event["stream_id"])
        if row is not None:
            _apply(row, event)
    return found


def _apply(row: Row, event: Event) -> None:
    body, kind, at = payload(event), event["type"], event["occurred_at"]
    row["position"], row["version"], row["updated_at"] = event["position"], event["version"], at
    if kind in {"job.created", "job.changed"}:
        plan = body["plan"]
        times = (plan["cron"], plan["timezone"])
        if kind == "job.created" or times != row["times"]:
            row["due_since"] = at
        row["times"] = times
        row["definition"] = body["definition"]["sha256"]
        row["configuration"] = body["configuration"]["sha256"]
        row["pinned_agent_id"], row["tags"] = plan.get("pinned_agent_id"), plan.get("tags")
        row["plan"] = json.dumps(plan, separators=(",", ":"), ensure_ascii=False)
    if kind in {"job.created", "job.resumed"}:
        row["status"], row["due_since"] = "enabled", at
    elif kind in {"job.paused", "job.deleted"}:
        row["status"] = kind.removeprefix("job.")
