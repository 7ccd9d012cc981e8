"""Pages at any depth, from either end, are slices of one order; totals are counts."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from api.ledger import Ledger
from domain.ids import Uuid7
from projections import lists
from projections.queries import Filter, Page, View
from tests.support.ledgers import Desk

pytestmark = pytest.mark.anyio
FILTERS = (
    Filter(),
    Filter(job_id=("a",)),
    Filter(job_id=("a", "b"), status=("success", "failed")),
    Filter(status=("failed",)),
    Filter(triggered_by=("retry",)),
    Filter(triggered_by=("manual",)),
    Filter(job_id=("a",), triggered_by=("manual",)),
    Filter(status=("success", "running")),
    Filter(job_id=("a",), status=("success", "failed")),
    Filter(job_id=("a", "b"), status=("success", "failed", "running", "pending")),
)
BEGINNING = datetime(2026, 3, 1, 20, 10, tzinfo=UTC)


@pytest.fixture
async def lived(ledger: Ledger) -> Ledger:
    """A ledger with executions of two jobs in all kinds of states, of some hours of two days."""
    desk = Desk(ledger)
    minutes = (BEGINNING.timestamp() * 1000 + 25 * 60_000 * number for number in range(100))
    new_id = Uuid7(lambda: int(next(minutes)) * 1_000_000, lambda _: 0)
    for number in range(12):
        job = "ab"[number % 2]
        trigger = ("manual", "scheduled")[number % 3 == 0]
        live = desk.ended if number % 4 else desk.begun
        await live(job_id=job, triggered_by=trigger, execution_id=new_id())
        failed = await desk.ended(exit_code=number % 3, job_id=job, execution_id=new_id())
        if failed.status == "failed":
            await desk.do(desk.retry(failed.id))
    return ledger


@pytest.mark.parametrize("deep", [0, 5, 1000])
async def test_a_page_is_a_slice_however_deep(
    lived: Ledger, monkeypatch: pytest.MonkeyPatch, deep: int
) -> None:
    """Whether the total is asked first or not, and from whichever end it is read."""
    monkeypatch.setattr(lists, "DEEP", deep)
    for chosen in FILTERS:
        whole = await page(lived, chosen, 100, 0)
        everything = ids(whole)
        assert whole.total == len(everything) > 5
        for offset in range(len(everything) + 2):
            for limit in (1, 3, 100):
                found = await page(lived, chosen, limit, offset)
                assert ids(found) == everything[offset : offset + limit]
                assert found.has_more == (offset + limit < len(everything))
                assert (found.total, found.total_is_exact) == (len(everything), True)


@pytest.mark.parametrize("deep", [0, 1000])
@pytest.mark.parametrize("most", [1, 5, 50])
async def test_a_range_is_counted_so_far(
    lived: Ledger, monkeypatch: pytest.MonkeyPatch, deep: int, most: int
) -> None:
    """Up to the limit the total is exact, and beyond it is the limit and says so."""
    monkeypatch.setattr(lists, "DEEP", deep)
    monkeypatch.setattr(lists, "COUNT_MAX", most)
    for chosen in FILTERS:
        everything = ids(await page(lived, chosen, 100, 0))
        ranged = replace(chosen, created_from=BEGINNING)
        for offset in (0, 1, len(everything) - 1, len(everything)):
            found = await page(lived, ranged, 3, offset)
            assert ids(found) == everything[offset : offset + 3]
            assert found.has_more == (offset + 3 < len(everything))
            assert found.total == min(most, len(everything))
            assert found.total_is_exact == (len(everything) <= most)


async def page(ledger: Ledger, chosen: Filter, limit: int, offset: int) -> Page[View]:
    """One page of the list."""
    return await ledger.lists.page(chosen, limit=limit, offset=offset)


def ids(found: Page[View]) -> list[Any]:
    """Their ids, in order."""
    return [view.row.id for view in found.rows]


async def test_a_lost_connection_is_replaced(lived: Ledger) -> None:
    """What the database closes meanwhile is connected again, and nobody sees it."""
    await page(lived, Filter(), 1, 0)
    async with lived.pool.connection() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND query LIKE '%totals_1%'"
        )
    assert len((await page(lived, Filter(), 5, 0)).rows) == 5
