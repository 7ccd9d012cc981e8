"""Executions are rendered by position: each value must stand under its own name."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from api import rendering, wire
from domain import ids
from projections.executions import Row
from projections.queries import Texts, View
from store.configurations import Job
from store.output import StoredStream

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ID, ROOT, BEFORE, AFTER = (UUID(int=(NOON.year + n) << 80 | 7 << 76 | 2 << 62) for n in range(4))
ROW = Row(
    id=ID,
    position=1,
    version=2,
    attempt=3,
    status="failed",
    triggered_by="retry",
    job_id="job",
    configuration="digest",
    root_id=ROOT,
    retry_of=BEFORE,
    retried_as=AFTER,
    scheduled_for=NOON,
    started_at=NOON + timedelta(seconds=1),
    cancel_requested_at=NOON + timedelta(seconds=2),
    completed_at=NOON + timedelta(seconds=3),
    duration_ms=4,
    timeout_seconds=5,
    start_deadline_seconds=6,
    exit_code=7,
    signal=8,
    failure_reason="signal",
    observed_by="agent",
    agent_id="ran",
    pinned_agent_id="pinned",
    labels=["gpu"],
    masked=True,
    late_outcome="exited",
    late_exit_code=9,
    late_reported_at=NOON + timedelta(seconds=4),
    held="overlap",
)
JOB = Job(
    job_id="job",
    job_name="name",
    command=("run",),
    timeout_seconds=5,
    working_dir="/srv",
    environment={"A": "1"},
    secrets={"S": "2"},
    stop_when_cut_off=True,
    expected_schedule="@daily",
    expected_timezone="Europe/Berlin",
)
VIEW = View(
    ROW,
    Texts(
        msgspec.json.encode(JOB),
        stdout=StoredStream(b"out", 3, 3, erased_at=NOON + timedelta(seconds=5)),
        stderr=StoredStream(b"err", 3, 3),
    ),
)
COMMON = {
    "id": ids.to_text("exec", ID),
    "job_id": "job",
    "job_name": "name",
    "status": "failed",
    "exit_code": 7,
    "duration_ms": 4,
    "triggered_by": "retry",
    "started_at": "2026-01-31T12:00:01.000Z",
    "completed_at": "2026-01-31T12:00:03.000Z",
    "created_at": wire.timestamp(ids.created_at(ID)),
    "scheduled_for": "2026-01-31T12:00:00.000Z",
    "timeout_seconds": 5,
    "command": ("run",),
    "attempt": 3,
    "retry_of": ids.to_text("exec", BEFORE),
    "root_id": ids.to_text("exec", ROOT),
    "retried_as": ids.to_text("exec", AFTER),
    "agent_id": "ran",
    "pinned_agent_id": "pinned",
    "cancel_requested_at": "2026-01-31T12:00:02.000Z",
    "failure_reason": "signal",
    "signal": 8,
    "late_outcome": wire.LateOutcome("exited", 9, "2026-01-31T12:00:04.000Z"),
    "labels": ["gpu"],
    "start_deadline_seconds": 6,
    "held": "overlap",
    "masked": True,
    "output_erased_at": "2026-01-31T12:00:05.000Z",
    "configuration_erased": False,
}


def test_a_row_of_a_list() -> None:
    """A list shows each value under its name."""
    shown = msgspec.structs.asdict(rendering.execution(VIEW, NOON))

    assert shown == COMMON | {
        "output": "out",
        "error": "err",
        "output_bytes": 3,
        "output_truncated": False,
    }


def test_the_details() -> None:
    """The details show each value under its name."""
    shown = msgspec.structs.asdict(rendering.detail(VIEW, b"out", b"errors", NOON))

    assert shown == COMMON | {
        "output": "out",
        "error": "errors",
        "output_bytes": 3,
        "output_truncated": True,
        "stderr": "errors",
        "stderr_bytes": 3,
        "stderr_truncated": False,
        "working_dir": "/srv",
        "stop_when_cut_off": True,
        "expected_schedule": "@daily",
        "expected_timezone": "Europe/Berlin",
    }


def test_what_an_agent_claimed() -> None:
    """An agent gets each value under its name, with secrets and without output."""
    shown = msgspec.structs.asdict(rendering.claimed(VIEW, JOB, NOON))

    assert shown == COMMON | {
        "output": "",
        "error": None,
        "output_bytes": 0,
        "output_truncated": False,
        "environment": {"A": "1", "S": "2"},
        "secrets": ["S"],
        "working_dir": "/srv",
        "stop_when_cut_off": True,
    }
