"""A list as a server shows it that remembers what it showed, beside one that remembers nothing."""

from datetime import datetime

from api import answers, rendering, wire
from api.ledger import Ledger
from api.shown_rows import ShownRows
from projections.queries import Filter


async def remembered(
    ledger: Ledger, rows: ShownRows, now: datetime, limit: int = 50
) -> list[bytes]:
    """The newest executions as JSON, of which those that `rows` knows are not read again."""
    page = await ledger.lists.page_beside(rows.known, Filter(), limit=limit, offset=0)
    return [one.json(now) for one in rows.shown(page.rows, now)]


async def afresh(ledger: Ledger, now: datetime, limit: int = 50) -> list[bytes]:
    """The same, all of it read and made now."""
    page = await ledger.lists.page(Filter(), limit=limit, offset=0)
    return [answers.encoded(rendering.execution(view, now)) for view in page.rows]


async def check(ledger: Ledger, rows: ShownRows) -> None:
    """Fail unless both are the same."""
    now = wire.now()
    assert await remembered(ledger, rows, now) == await afresh(ledger, now)
