"""A read model that counts: its rows are complete at the end, and belong to no one execution."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import pytest
from msgspec import Struct

from domain.execution import Execution
from domain.streams import State
from projections.rebuild import rebuild
from projections.verify import verify
from store.changes import Change
from tests.property.test_verify import NOWHERE, lines
from tests.support.ledgers import Desk, running_ledger
from tests.support.postgres import Database

pytestmark = pytest.mark.anyio


class Count(Struct, frozen=True):
    """How many executions have a status."""

    status: str
    count: int


class Counts:
    """A made-up read model, and a pass of it."""

    name = "counts"
    version = 1
    tables: Final[Mapping[str, type[Struct]]] = {"counts_1": Count}
    statement = """
        INSERT INTO read.counts_1 AS kept
        SELECT r.status, r.count FROM json_to_recordset($1::json) AS r (status text, count bigint)
        ON CONFLICT (status) DO UPDATE SET count = kept.count + excluded.count"""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def parameters(self, changes: Sequence[Change]) -> tuple[bytes, ...]:
        """What a batch adds and takes away."""
        after = (change.after for change in changes)
        before = (change.before for change in changes)
        moved = Counter(state.status for state in after if isinstance(state, Execution))
        moved.subtract(state.status for state in before if isinstance(state, Execution))
        rows = [Count(*item) for item in moved.items()]
        return (msgspec.json.encode(rows),)

    def refold(self) -> "Counts":
        """Begin a pass."""
        return Counts()

    def take(self, state: State, position: int) -> Iterable[tuple[str, Struct]]:  # noqa: ARG002 - counts need none
        """Count, and give nothing yet."""
        if isinstance(state, Execution):
            self.counted[state.status] += 1
        return ()

    def join(self, later: "Counts") -> None:
        """Add up."""
        self.counted += later.counted

    def rest(self) -> Iterable[tuple[str, Struct]]:
        """Give all."""
        return [("counts_1", Count(*item)) for item in sorted(self.counted.items())]


async def test_counters_are_rebuilt_and_compared(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts from the log and from batches agree; one that is off by one is named."""
    models = (Counts(),)
    async with running_ledger(database) as before:
        await Desk(before).ended()
        with database.as_owner() as owner:
            owner.execute(
                b"CREATE TABLE read.counts_1 (status text PRIMARY KEY, count bigint NOT NULL);"
                b" GRANT SELECT, INSERT, UPDATE, DELETE ON read.counts_1 TO cronledger_server;"
                b" INSERT INTO read.projections VALUES ('counts', 1, 0)"
            )
        await asyncio.to_thread(rebuild, database.owner, models, lambda *_: None)
    monkeypatch.setattr("api.app.READ_MODELS", models)
    async with running_ledger(database) as ledger:
        desk = Desk(ledger)
        await asyncio.gather(desk.ended(), desk.ended(exit_code=3), desk.begun())

    def found() -> list[str]:
        findings = verify(database.owner, models, NOWHERE, lambda *_: None).findings
        return [line for line in lines(findings) if line.startswith("read model")]

    with database.as_owner() as owner:
        owner.execute("DELETE FROM read.counts_1 WHERE count = 0")
        assert found() == []
        owner.execute("UPDATE read.counts_1 SET count = count + 1 WHERE status = 'success'")
        owner.execute("DELETE FROM read.counts_1 WHERE status = 'failed'")
        owner.execute("INSERT INTO read.counts_1 VALUES ('odd', 1)")
        assert sorted(found()) == [
            "read model: counts_1 failed: the row is missing",
            "read model: counts_1 odd: the row belongs to nothing",
            "read model: counts_1 success: count is 3, and should be 2",
        ]
