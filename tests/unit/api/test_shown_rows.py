"""The JSON of an execution in a list is made once, and never shown for another state of it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from api import rendering
from api.shown_rows import ShownRows
from projections.executions import Row
from projections.queries import Texts, View
from store.output import StoredStream

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def view(number: int = 1, **fields: Any) -> View:
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
    return View(replace(row, **fields), Texts())


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[View]:
    """The views of which JSON was made, in order."""
    seen: list[View] = []
    make = rendering.execution

    def counting(one: View, now: datetime) -> Any:
        seen.append(one)
        return make(one, now)

    monkeypatch.setattr(rendering, "execution", counting)
    return seen


def test_an_execution_that_has_ended_is_made_once(made: list[View]) -> None:
    rows = ShownRows()
    first = rows.json(view(), NOON)
    assert rows.json(view(), NOON + timedelta(days=1)) == first
    assert msgspec.json.decode(bytes(first))["status"] == "success"
    assert len(made) == 1


def test_any_change_is_shown_at_once(made: list[View]) -> None:
    rows = ShownRows()
    erased = View(view().row, Texts(stdout=StoredStream(b"out", 3, 3)))
    changes = [view(), view(version=4, retried_as=UUID(int=9)), erased, view()]
    for one in changes:
        rows.json(one, NOON)
    assert made == changes


def test_what_still_runs_is_made_each_time() -> None:
    rows = ShownRows()
    running = view(status="running", completed_at=None, duration_ms=None)
    durations = [
        msgspec.json.decode(bytes(rows.json(running, NOON + timedelta(seconds=n))))["duration_ms"]
        for n in (1, 2)
    ]
    assert durations == [1000, 2000]


def test_only_so_many_are_kept(made: list[View]) -> None:
    rows = ShownRows(most=2)
    for number in (1, 2, 3, 2, 1):
        rows.json(view(number), NOON)
    assert [one.row.id.int for one in made] == [1, 2, 3, 1]
