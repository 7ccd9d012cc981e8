"""What a server remembers of its lists is never older than the database."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest

from api import wire
from api.ledger import Ledger
from api.shown_rows import Shown, ShownRows
from domain import commands
from projections import lists
from projections.queries import Filter, Version
from store import output
from tests.support import shown
from tests.support.ledgers import Desk, running_ledger
from tests.support.postgres import Database

pytestmark = pytest.mark.anyio
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


async def test_every_change_is_listed_by_every_server(database: Database) -> None:
    """Whatever one server does, with an event or without, is in the next list of the other."""
    async with running_ledger(database) as ledger, running_ledger(database) as other:
        desk, rows = Desk(ledger), ShownRows()

        async def listed() -> list[dict[str, Any]]:
            await shown.check(other, rows)
            found = await shown.remembered(other, rows, wire.now())
            return [msgspec.json.decode(one) for one in found]

        first = await desk.begun()
        assert [one["status"] for one in await listed()] == ["running"]
        ending = await desk.write(first, b"out\n", b"err\n")
        assert [one["output"] for one in await listed()] == ["out\n"]
        await desk.do(desk.complete(first.id, first.fence, ending=ending))
        assert [one["status"] for one in await listed()] == ["success"]
        second = await desk.ended(exit_code=1)
        retry = (await desk.do(desk.retry(second.id))).execution
        assert retry is not None
        assert [one["status"] for one in await listed()] == ["pending", "failed", "success"]
        await desk.do(desk.erase(first.id))
        assert [one["output_erased_at"] is None for one in await listed()] == [True, True, False]
        await desk.do(desk.cancel(retry.id))
        assert [one["status"] for one in await listed()] == ["canceled", "failed", "success"]
        digest = second.configuration.sha256
        await desk.do(desk.erase(second.id, configuration=digest))
        assert [one["command"] for one in await listed()] == ["", "", ""]


async def test_output_of_an_agent_that_was_given_up_is_seen(ledger: Ledger) -> None:
    """Output that comes after the end, for which there is no event, changes what is remembered."""
    desk, rows = Desk(ledger), ShownRows()
    state = await desk.begun()
    await desk.do(desk.give_up(commands.Lose, state.id))
    await shown.check(ledger, rows)
    assert state.fence is not None
    for at in range(3):
        await output.append(
            ledger.pool, state.id, state.fence, "stderr", offset=2 * at, data=b"e\n"
        )
        await shown.check(ledger, rows)


async def test_what_is_known_is_not_read(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a page was shown, the next list asks for versions, and for what is new."""
    desk, rows = Desk(ledger), ShownRows()
    for _ in range(3):
        await desk.ended()
    asked: list[bytes] = []
    send = lists._send

    def counting(trips: Any, name: bytes, *parameters: bytes) -> None:
        asked.append(name)
        send(trips, name, *parameters)

    monkeypatch.setattr(lists, "_send", counting)
    for expected in (
        [b"versions of all", b"totals", b"newest of all", b"totals"],
        [b"versions of all", b"totals"],
    ):
        asked.clear()
        await shown.remembered(ledger, rows, NOON, limit=4)
        assert asked == expected
    await desk.ended()
    asked.clear()
    await shown.remembered(ledger, rows, NOON, limit=4)
    assert asked == [b"versions of all", b"totals", b"several"]


async def test_a_page_is_of_one_moment(database: Database) -> None:
    """What changes between the two reads of a page makes the page be read again as a whole."""
    async with running_ledger(database) as ledger:
        desk, rows = Desk(ledger), ShownRows()
        for _ in range(3):
            await desk.ended()
        chosen = Filter(status=("success",))
        page = await ledger.lists.page_beside(rows.known, chosen, limit=4, offset=0)
        rows.shown(page.rows, NOON)
        changed = page.rows[0].version.id

        def change(version: Version) -> Shown | None:
            """Know all but one, which is no longer on the page when it would be read."""
            if version.id != changed:
                return rows.known(version)
            with psycopg.connect(database.owner, autocommit=True) as connection:
                connection.execute(
                    "UPDATE read.executions_1 SET status = 'failed' WHERE id = %s", [changed]
                )
            return None

        later = await ledger.lists.page_beside(change, chosen, limit=4, offset=0)

    assert [one.version.id for one in later.rows] == [one.version.id for one in page.rows[1:]]


async def test_time_goes_on_for_what_is_remembered(ledger: Ledger) -> None:
    """How long something has been running is another answer each time."""
    desk, rows = Desk(ledger), ShownRows()
    state = await desk.begun()
    assert state.started_at is not None
    for seconds in (1, 2):
        now = state.started_at + timedelta(seconds=seconds)
        (one,) = await shown.remembered(ledger, rows, now)
        assert msgspec.json.decode(one)["duration_ms"] == 1000 * seconds
