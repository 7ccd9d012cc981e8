"""What open pages are told: every change once, from one look for all of them."""

from uuid import UUID

import pytest

from api import wire
from api.ledger import Ledger
from api.pages import directory, history, logs, shared
from api.pages.shared import Changes, Shared
from projections import runs
from store import output
from tests.support.ledgers import NOTHING, Desk, running_ledger
from tests.support.postgres import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question is a look."""
    monkeypatch.setattr(shared, "_LOOK_SECONDS", 0.0)


def told(found: "tuple[list[shared.Changed], int] | None") -> tuple[set[UUID], int]:
    """Which executions changed, and the position."""
    assert found is not None
    return {change.view.row.id for change in found[0]}, found[1]


@pytest.mark.usefixtures("always")
async def test_each_page_is_told_what_changed_since_its_own_position(ledger: Ledger) -> None:
    """Nothing twice, nothing never, and an execution as it is now."""
    desk, changes = Desk(ledger), Changes(ledger)
    await desk.ended()
    mark = await changes.mark()
    assert told(await changes.since(mark)) == (set(), mark)
    one = await desk.begun()
    found, later = told(await changes.since(mark))
    assert (found, later > mark) == ({one.id}, True)
    two = await desk.ended(exit_code=3)
    assert told(await changes.since(later))[0] == {two.id}
    assert told(await changes.since(mark))[0] == {one.id, two.id}
    await desk.do(desk.complete(one.id, one.fence, exit_code=0))
    again = await changes.since(later)
    assert again is not None
    assert {change.view.row.status for change in again[0]} == {"success", "failed"}


@pytest.mark.usefixtures("always")
async def test_a_page_that_was_away_too_long_reads_itself_anew(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When more has changed than is kept, or all of it before this server began to look."""
    monkeypatch.setattr(shared, "_CHANGES_MAX", 3)
    desk, changes = Desk(ledger), Changes(ledger)
    await desk.ended()
    mark = await changes.mark()
    assert await changes.since(mark - 1) is None
    for _ in range(5):
        await desk.ended()
    assert await changes.since(mark) is None
    now = await changes.mark()
    last = await desk.begun()
    assert told(await changes.since(now))[0] == {last.id}


async def test_many_pages_cost_one_look(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a second all are answered from what was read for the first."""
    desk, changes = Desk(ledger), Changes(ledger)
    mark = await changes.mark()
    looks = []
    real = runs.changed

    async def counted(*args: object) -> object:
        looks.append(args)
        return await real(*args)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(runs, "changed", counted)
    await desk.ended()
    changes._looked = 0.0
    for _ in range(200):
        await changes.since(mark)
    assert len(looks) == 1


async def test_what_was_erased_is_said_and_not_shown_as_nothing(database: Database) -> None:
    """Of an execution whose texts are gone the page shows what happened, and that they are."""
    async with running_ledger(database) as ledger:
        desk = Desk(ledger)
        state = await desk.begun()
        assert state.fence is not None
        await output.append(ledger.pool, state.id, state.fence, "stdout", offset=0, data=b"secret")
        ending = await ledger.ending(await ledger.standing(state.id), NOTHING)
        await desk.do(desk.complete(state.id, state.fence, ending=ending))
        with database.as_owner() as owner:
            owner.execute("DELETE FROM store.output_chunks")
            owner.execute("DELETE FROM store.outputs")
            owner.execute("DELETE FROM store.configurations")
        view = await ledger.view(state.id)
        stdout, stderr = await logs.panes(ledger, view)
        assert "erased. 6 bytes had been kept" in stdout.erased
        assert (stdout.content, stderr.erased) == ("", "")
        assert history.line(view, wire.now()).job == "(erased)"
        (job,) = await directory.everyone(Shared(), ledger)
        assert (job.name, directory.name_of(job)) == (None, job.job_id)
