"""Reads that share a statement: each is answered, however many ask at once."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from api.ledger import Ledger
from projections import queries
from projections.queries import Standing, View
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


def _standing(view: View) -> Standing:
    texts = view.texts
    values: list[Any] = [getattr(view.row, name) for name in Standing.__struct_fields__[:-3]]
    values += [texts.configuration, texts.stdout, texts.stderr]
    return Standing(*values)


async def test_a_standing_says_what_the_view_says(ledger: Ledger) -> None:
    """Given executions that run, have ended, and are none, both asked for at the same moment."""
    desk = Desk(ledger)
    running, ended = await desk.begun(), await desk.ended()
    await desk.write(running, b"hello", b"ouch")
    asked = (running.id, ended.id, uuid4())

    views, standings = await asyncio.gather(
        asyncio.gather(*map(ledger.views.one, asked)),
        asyncio.gather(*map(ledger.views.standing, asked)),
    )

    assert standings == [None if view is None else _standing(view) for view in views]
    assert standings[0] is not None
    assert standings[0].stderr.kept_bytes == len(b"ouch")
