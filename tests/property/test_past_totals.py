"""The total of a past list is one number: on every page, and whatever is recorded later."""

import asyncio
import itertools
from typing import Final
from uuid import UUID

import pytest
from msgspec.structs import replace

from api.ledger import Ledger
from projections import as_of
from projections.as_of import Moment, PastPage
from projections.queries import Filter
from tests.support.ledgers import Desk

pytestmark = pytest.mark.anyio
LIMIT: Final = 7
FILTERS: Final = (
    Filter(),
    Filter(job_id=("a",)),
    Filter(status=("failed",)),
    Filter(status=("running",)),
    Filter(job_id=("b",), status=("success", "running"), triggered_by=("manual",)),
)


async def _lives(desk: Desk, count: int) -> None:
    """Executions of two jobs, of which every third still runs and every fourth failed."""

    async def one(number: int) -> None:
        job = "ab"[number % 2]
        if number % 3 == 0:
            await desk.begun(job_id=job)
        else:
            await desk.ended(exit_code=int(number % 4 == 0), job_id=job)

    await asyncio.gather(*map(one, range(count)))


async def _then(ledger: Ledger) -> Moment:
    return await as_of.moment_of(ledger.pool, await as_of.head(ledger.pool))


async def _walked(ledger: Ledger, chosen: Filter, then: Moment) -> list[PastPage]:
    """All pages, by cursor."""
    pages = [await as_of.page(ledger.pool, chosen, then, limit=LIMIT)]
    while pages[-1].page.has_more:
        chosen = replace(chosen, before=pages[-1].last)
        pages.append(await as_of.page(ledger.pool, chosen, then, limit=LIMIT))
    return pages


def _totals(pages: list[PastPage]) -> set[tuple[int, bool]]:
    return {(one.page.total, one.page.total_is_exact) for one in pages}


def _ids(pages: list[PastPage]) -> list[UUID]:
    return [view.row.id for one in pages for view in one.page.rows]


def _shown(pages: list[PastPage]) -> int:
    return sum(len(one.page.rows) for one in pages)


async def test_every_page_of_the_past_has_the_total_of_then(
    ledger: Ledger, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what today's list had, by any offset, when that position was the last."""
    # given
    monkeypatch.setattr(as_of, "_AT_ONCE", 50)
    await _lives(desk, 150)
    then = await _then(ledger)
    today = {}
    for chosen in FILTERS:
        first = await ledger.lists.page(chosen, limit=LIMIT, offset=0)
        offsets = range(LIMIT, first.total, LIMIT)
        rest = [await ledger.lists.page(chosen, limit=LIMIT, offset=skip) for skip in offsets]
        (today[chosen],) = {(one.total, one.total_is_exact) for one in (first, *rest)}
    # when
    await _lives(desk, 100)
    # then
    for chosen in FILTERS:
        pages = await _walked(ledger, chosen, then)
        assert _totals(pages) == {today[chosen]}
        assert _shown(pages) == today[chosen][0] > LIMIT


@pytest.mark.parametrize("most", [8, 30])
async def test_more_than_are_counted_are_the_limit_on_every_page(
    ledger: Ledger, desk: Desk, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Up to the limit the total is exact; beyond it is the limit, and says so."""
    monkeypatch.setattr(as_of, "COUNT_MAX", most)
    await _lives(desk, 40)
    then = await _then(ledger)
    await _lives(desk, 20)
    for chosen in FILTERS:
        pages = await _walked(ledger, chosen, then)
        matching = _shown(pages)
        assert _totals(pages) == {(min(most, matching), matching <= most)}


@pytest.fixture
def looks_at_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looks at ten executions at most."""
    monkeypatch.setattr(as_of, "LOOKED_AT_MAX", 10)
    monkeypatch.setattr(as_of, "_AT_ONCE", 10)


@pytest.mark.usefixtures("looks_at_ten")
async def test_a_total_of_few_that_were_looked_at_is_a_lower_bound_for_good(
    ledger: Ledger, desk: Desk
) -> None:
    """If more would have to be looked at than a page may, no page and no later time says more."""
    await _lives(desk, 40)
    then = await _then(ledger)
    before = [_totals(await _walked(ledger, chosen, then)) for chosen in FILTERS]
    await _lives(desk, 40)
    for chosen, known in zip(FILTERS, before, strict=True):
        pages = await _walked(ledger, chosen, then)
        assert _totals(pages) == known
        ((total, is_exact),) = known
        assert (total <= _shown(pages), is_exact) == (True, False)


@pytest.mark.usefixtures("looks_at_ten")
async def test_what_was_recorded_later_takes_no_place_on_a_page(ledger: Ledger, desk: Desk) -> None:
    """Executions made right after the position are not among those that a page looks at."""
    await _lives(desk, 9)
    then = await _then(ledger)
    await _lives(desk, 30)
    found = await as_of.page(ledger.pool, Filter(), then, limit=100)
    assert (len(found.page.rows), found.page.has_more) == (9, False)
    assert (found.page.total, found.page.total_is_exact) == (9, True)


@pytest.fixture
def passes_over_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page passes over ten executions that were recorded later, and those of one statement."""
    monkeypatch.setattr(as_of, "PASSED_OVER_MAX", 10)
    monkeypatch.setattr(as_of, "_AT_ONCE", 5)


async def _reported_late(desk: Desk, late: list[UUID]) -> None:
    """Executions of both jobs, recorded now under ids of before."""
    for number, one in enumerate(late):
        await desk.do(desk.create(one, job_id="ab"[number % 2]))


@pytest.mark.usefixtures("passes_over_ten")
async def test_a_page_ends_once_it_has_passed_over_enough(ledger: Ledger, desk: Desk) -> None:
    """A backfill among the executions of then ends pages early; nothing is skipped or repeated."""
    # given
    await _lives(desk, 24)
    late = [ledger.new_id() for _ in range(60)]
    await _lives(desk, 24)
    then = await _then(ledger)
    before = {chosen: await _walked(ledger, chosen, then) for chosen in FILTERS}
    # when
    await _reported_late(desk, late)
    # then
    for chosen in FILTERS:
        pages = await _walked(ledger, chosen, then)
        assert _ids(pages) == _ids(before[chosen])
        ((total, is_exact),) = _totals(pages)
        assert (0 < total < _shown(pages), is_exact) == (True, False)
        assert [one.page.rows for one in pages].count([]) > 0
        assert pages == await _walked(ledger, chosen, then)


@pytest.mark.usefixtures("passes_over_ten")
async def test_a_page_costs_the_same_however_many_were_recorded_later(
    ledger: Ledger, desk: Desk
) -> None:
    """From one cursor to the next lie no more executions than a page may look at."""
    await _lives(desk, 12)
    late = [ledger.new_id() for _ in range(100)]
    then = await _then(ledger)
    await _reported_late(desk, late)
    pages = await _walked(ledger, Filter(), then)
    cursors = [one.last for one in pages if one.page.has_more and one.last is not None]
    assert len(cursors) > len(late) // (10 + 5 + LIMIT)
    for higher, lower in itertools.pairwise(cursors):
        assert sum(lower <= one < higher for one in late) <= 10 + 5
    assert (_totals(pages), _shown(pages)) == ({(0, False)}, 12)


async def test_what_was_recorded_later_changes_nothing_up_to_the_bound(
    ledger: Ledger, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages and totals stay as they were until more were recorded later than are passed over."""
    monkeypatch.setattr(as_of, "PASSED_OVER_MAX", 41)
    monkeypatch.setattr(as_of, "_AT_ONCE", 5)
    monkeypatch.setattr(as_of, "_LOOK_UPS_AT_ONCE", 8)
    await _lives(desk, 12)
    late = [ledger.new_id() for _ in range(40)]
    await _lives(desk, 12)
    then = await _then(ledger)
    before = [await _walked(ledger, chosen, then) for chosen in FILTERS]
    await _reported_late(desk, late)
    assert [await _walked(ledger, chosen, then) for chosen in FILTERS] == before
