"""What must hold of due times in a ledger: looks for invariants.py."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

from tests.support import naive, naive_jobs
from tests.support.job_invariants import Seen

# A fact: from the first due time to the last one that it speaks of, and its stream.
Fact = tuple[datetime, datetime, UUID]


def facts(log: Sequence[naive.Event]) -> dict[str, list[Fact]]:
    """What the ledger says of each job's due times, in order of time."""
    found: defaultdict[str, list[Fact]] = defaultdict(list)
    for event in log:
        body, kind = naive.payload(event), event["type"]
        if kind == "schedule.missed":
            names = ("first_due_at", "last_due_at")
        elif kind == "schedule.skipped":
            names = ("due_at", "due_at")
        elif kind == "execution.created" and event["actor"] == "server:schedule":
            names = ("scheduled_for", "scheduled_for")
        else:
            continue
        first, last = (datetime.fromisoformat(body[name]) for name in names)
        found[body["job_id"]].append((first, last, event["stream_id"]))
    return {job_id: sorted(of_job) for job_id, of_job in found.items()}


def _once(seen: Seen) -> Iterator[str]:
    settled = {row["id"]: row for row in seen.rows("SELECT id, settled_until FROM store.schedules")}
    for job_id, of_job in facts(seen.log).items():
        for one, other in pairwise(of_job):
            if other[0] <= one[1]:
                yield f"job {job_id}: the time {other[0]} has two facts: {one[2]} and {other[2]}"
        row = settled.get(naive_jobs.stream_of(job_id))
        if row is None or row["settled_until"] < of_job[-1][1]:
            yield f"job {job_id}: is not settled up to {of_job[-1][1]}, its last fact"
    for event in seen.log:
        if event["type"] == "job.created" and event["stream_id"] not in settled:
            yield f"job {event['stream_id']}: nobody looks when it is due"


def _read_model(seen: Seen) -> Iterator[str]:
    expected: dict[UUID, dict[str, Any]] = {}
    for event in seen.log:
        if not event["type"].startswith("schedule."):
            continue
        body = naive.payload(event)
        first, last = (
            datetime.fromisoformat(body.get(name) or body["due_at"])
            for name in ("first_due_at", "last_due_at")
        )
        blocked_by = body.get("blocked_by")
        expected[event["stream_id"]] = {
            "id": event["stream_id"],
            "position": event["position"],
            "version": 1,
            "job_id": body["job_id"],
            "kind": event["type"].removeprefix("schedule."),
            "first_due_at": first,
            "last_due_at": last,
            "count": body.get("count") if "first_due_at" in body else 1,
            "reason": body["reason"],
            "blocked_by": UUID(blocked_by) if blocked_by else None,
        }
    found = {row["id"]: row for row in seen.rows("SELECT * FROM read.passed_times_1")}
    if expected != found:
        yield f"the read model of passed times differs at {expected.keys() ^ found.keys()}"


def _held(seen: Seen) -> Iterator[str]:
    rows = naive.rows(event for event in seen.log if event["type"].startswith("execution."))
    expected = {
        one: (naive_jobs.stream_of(row["job_id"]), row["start_deadline_seconds"] is not None)
        for one, row in rows.items()
        if row["held"] is not None
    }
    found = {
        row["execution_id"]: (row["id"], row["start_by"] is not None)
        for row in seen.rows("SELECT * FROM store.held")
    }
    if expected != found:
        yield f"held are {found}, by the log it should be {expected}"


LOOKS = (_once, _read_model, _held)
