"""Reads that share a statement: each is answered, however many ask at once."""

import asyncio
from uuid import uuid4

import pytest

from api.ledger import Ledger
from projections import queries
from tests.support.ledgers import Desk

pytestmark = pytest.mark.anyio


async def test_more_readers_than_one_statement_takes(ledger: Ledger) -> None:
    """Given thousands who ask at once, those whose execution exists get it, the others nothing."""
    desk = Desk(ledger)
    states = [(await desk.do(desk.create())).execution for _ in range(3)]
    existing = [state.id for state in states if state is not None]
    strangers = [uuid4() for _ in range(2 * queries.SEVERAL_MAX)]

    found = await asyncio.gather(*map(ledger.views.one, [*strangers, *existing]))

    assert [None] * len(strangers) == found[: len(strangers)]
    assert existing == [view.row.id for view in found[len(strangers) :] if view is not None]
