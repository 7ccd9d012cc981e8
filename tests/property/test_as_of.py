"""The past is what the events up to then say: as-of answers against the naive fold of the log."""

import random
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from psycopg.rows import dict_row

from projections import as_of
from projections.as_of import Moment
from projections.queries import Filter, View
from tests.property.test_ledger_machine import SETTINGS, Machine
from tests.support import naive
from tests.support.postgres import Postgres

_FILTERS: Final = (
    Filter(),
    Filter(status=("pending",)),
    Filter(status=("running", "failed")),
    Filter(status=("success", "canceled", "timeout"), triggered_by=("manual",)),
    Filter(triggered_by=("retry",)),
    Filter(job_id=("elsewhere",)),
)
_PAGE: Final = 3
_SETTINGS: Final = settings(SETTINGS, max_examples=5, stateful_step_count=12)


class _Past(Machine):
    """The ledger machine; when it ends, its log is looked at from every position.

    `exact` says that no page meets a bound, so that totals must be exact.
    """

    exact = True

    def teardown(self) -> None:
        """At each position, list and get are what the events up to it say."""
        try:
            self.runner.run(self._compare())
        finally:
            super().teardown()

    async def _compare(self) -> None:
        with psycopg.connect(self.database.owner, row_factory=dict_row) as connection:
            log = connection.execute("SELECT * FROM ledger.events ORDER BY position").fetchall()
        chance = random.Random(len(log))  # noqa: S311 - a test's choices
        for position in range(len(log) + 1):
            rows = naive.rows(log[:position])
            chosen = chance.choice(_FILTERS)
            assert await self._listed(log, position, chosen) == _matching(rows, chosen)
            for one in {event["stream_id"] for event in log}:
                found = await as_of.one(self.desk.ledger.pool, one, position)
                assert (None if found is None else _facts(found)) == rows.get(one)

    async def _listed(
        self, log: list[dict[str, Any]], position: int, chosen: Filter
    ) -> list[naive.Row]:
        """What the pages of the list hold, one after the other."""
        then = Moment(position, log[position - 1]["recorded_at"] if position else None)
        found: list[naive.Row] = []
        totals: set[tuple[int, bool]] = set()
        while True:
            past = await as_of.page(self.desk.ledger.pool, chosen, then, limit=_PAGE)
            found += map(_facts, past.page.rows)
            totals.add((past.page.total, past.page.total_is_exact))
            assert past.unreadable == []
            if not past.page.has_more:
                ((total, is_exact),) = totals
                assert (total, is_exact) == (len(found), True) or not self.exact
                assert total == len(found) if is_exact else total <= len(found)
                return found
            chosen = Filter(chosen.job_id, chosen.status, chosen.triggered_by, before=past.last)


def _facts(view: View) -> naive.Row:
    """A row as the naive fold makes it; what it is shown with is only what was sealed by then."""
    row = view.row
    if row.completed_at is None:
        assert (view.texts.stdout.kept_bytes, view.texts.stdout.preview) == (0, b"")
    return {name: getattr(row, name) for name in row.__struct_fields__}


def _matching(rows: dict[UUID, naive.Row], chosen: Filter) -> list[naive.Row]:
    matches = (
        row
        for row in rows.values()
        if (not chosen.status or row["status"] in chosen.status)
        and (not chosen.triggered_by or row["triggered_by"] in chosen.triggered_by)
        and (not chosen.job_id or row["job_id"] in chosen.job_id)
    )
    return sorted(matches, key=lambda row: row["id"], reverse=True)


@pytest.mark.timeout(600)  # only to make a failure small; without one it takes seconds
def test_the_past_is_the_fold_of_the_events_up_to_it(postgres: Postgres) -> None:
    """Whatever happened, at each position list and get equal the naive fold of the log up to it."""
    _Past.postgres = postgres
    run_state_machine_as_test(_Past, settings=_SETTINGS)


class _PastOfFew(_Past):
    """The same, with pages that may look at next to nothing."""

    exact = False


@pytest.fixture
def looks_at_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looks at three executions at most, and passes over hardly more."""
    monkeypatch.setattr(as_of, "LOOKED_AT_MAX", 3)
    monkeypatch.setattr(as_of, "PASSED_OVER_MAX", 2)
    monkeypatch.setattr(as_of, "_AT_ONCE", 2)
    monkeypatch.setattr(as_of, "_LOOK_UPS_AT_ONCE", 3)


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("looks_at_few")
def test_pages_that_end_early_hold_the_same_together(postgres: Postgres) -> None:
    """However soon its bounds end a page, all pages together are the naive fold of the log."""
    _PastOfFew.postgres = postgres
    run_state_machine_as_test(_PastOfFew, settings=_SETTINGS)


@pytest.mark.soak
def test_the_past_is_the_fold_of_the_events_up_to_it_for_long(postgres: Postgres) -> None:
    """The same with 300 histories."""
    _Past.postgres = postgres
    run_state_machine_as_test(_Past, settings=settings(_SETTINGS, max_examples=300))
