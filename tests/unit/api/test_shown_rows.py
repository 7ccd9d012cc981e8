"""The JSON of an execution in a list is made once for each version of it, and never for another."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from api import answers, rendering
from api.shown_rows import Shown, ShownRows
from projections.executions import Row
from projections.queries import Listed, Version, View

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def listed(number: int = 1, version: bytes = b"1", **fields: Any) -> Listed:
    row = Row(
        id=UUID(int=number),
        position=3,
        version=3,
        attempt=1,
        status="success",
        triggered_by="manual",
        job_id="job",
        configuration="00",
        root_id=UUID(int=number),
        started_at=NOON,
        completed_at=NOON,
        duration_ms=5,
    )
    return Listed(Version(row.id, version, b"1", [b"1"]), View(replace(row, **fields)))


RUNNING: dict[str, Any] = {"status": "running", "completed_at": None, "duration_ms": None}
PENDING: dict[str, Any] = {**RUNNING, "status": "pending", "started_at": None}


@pytest.mark.parametrize("fields", [{}, RUNNING, PENDING])
def test_what_is_shown_is_what_would_be_made(fields: dict[str, Any]) -> None:
    """At any time, whether it has ended, runs or waits."""
    one = listed(**fields)
    (shown,) = ShownRows().shown([one], NOON)
    for seconds in (0, 3, 86_400):
        now = NOON + timedelta(seconds=seconds)
        assert shown.json(now) == answers.encoded(rendering.execution(one.view, now))


def test_a_name_cannot_be_taken_for_the_duration() -> None:
    """Names that look like a field are shown as they are, and the duration where it belongs."""
    one = listed(job_id='"duration_ms":7,', **RUNNING)
    (shown,) = ShownRows().shown([one], NOON)
    found = msgspec.json.decode(shown.json(NOON + timedelta(seconds=1)))
    assert (found["job_id"], found["duration_ms"]) == ('"duration_ms":7,', 1000)


def test_only_the_very_version_is_known() -> None:
    """Another row, configuration or output is another version."""
    rows, one = ShownRows(), listed()
    (shown,) = rows.shown([one], NOON)
    assert rows.known(one.version) is shown
    differing: list[dict[str, Any]] = [
        {"id": UUID(int=2)},
        {"row": b"2"},
        {"configuration": None},
        {"outputs": []},
    ]
    for changes in differing:
        assert rows.known(replace(one.version, **changes)) is None


def test_what_is_known_stands_for_itself() -> None:
    """Nothing is made again of what is handed back, or read again; what is new is remembered."""
    rows, later = ShownRows(), listed(version=b"2", status="failed")
    (first,) = rows.shown([listed()], NOON)
    again, read, second = rows.shown([first, listed(), later], NOON)
    assert again is first
    assert read is first
    assert isinstance(second, Shown)
    assert rows.known(first.version) is None
    assert rows.known(later.version) is second


def test_only_so_many_are_kept() -> None:
    """Those that were shown last."""
    rows = ShownRows(most=2)
    rows.shown([listed(1), listed(2), listed(1, b"2"), listed(3)], NOON)
    known = [one for one in (listed(1, b"2"), listed(2), listed(3)) if rows.known(one.version)]
    assert [one.version.id.int for one in known] == [1, 3]
