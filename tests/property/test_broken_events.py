"""A stored event that cannot be read stops its own stream, and nothing else."""

import pytest

from domain.errors import UnreadableStream
from tests.support.ledgers import Desk, running_ledger
from tests.support.postgres import Database

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "payload",
    [b"\xff\xfe", b"{", b"{}", b'{"type":"execution.lost"}'],
    ids=["not text", "not JSON", "not an event", "another event"],
)
async def test_a_broken_event_keeps_no_agent_from_the_others(
    database: Database, payload: bytes
) -> None:
    """Given a server finds the oldest pending execution broken, a claim gets the next one."""
    async with running_ledger(database) as before:
        broken = (await Desk(before).do(Desk(before).create())).execution
        whole = (await Desk(before).do(Desk(before).create())).execution
    assert broken is not None
    assert whole is not None
    with database.as_owner() as owner, owner.transaction():
        owner.execute("ALTER TABLE ledger.events DISABLE TRIGGER USER")
        owner.execute(
            "UPDATE ledger.events SET payload = %b WHERE stream_id = %s", [payload, broken.id]
        )
        owner.execute("ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER events_are_immutable")
        owner.execute("ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER events_are_kept")

    async with running_ledger(database) as ledger:
        desk = Desk(ledger)
        claimed = (await desk.do(desk.claim())).execution
        with pytest.raises(UnreadableStream):
            await desk.do(desk.cancel(broken.id))

    assert claimed is not None
    assert whole.id == claimed.id
