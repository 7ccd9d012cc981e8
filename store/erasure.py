"""What goes with a batch, instead of coming: bodies that an event says are erased."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct, field

from domain.events import BodiesErased, Envelope
from domain.job_events import JobBodiesErased
from store import sql
from store.columns import Parameters, column, scalar

STATEMENTS: Final = {
    b"erase outputs": sql.named("erase_outputs"),
    b"erase bodies": sql.named("erase_bodies"),
}


class Erasure(Struct):
    """Bodies that go in one transaction (sql/erase_outputs.sql, sql/erase_bodies.sql)."""

    outputs: list[UUID] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    configurations: set[str] = field(default_factory=set)

    def add(self, envelope: Envelope, event: BodiesErased | JobBodiesErased) -> None:
        """Take in what an event says is gone."""
        self.configurations.update(erased_texts(event))
        if isinstance(event, JobBodiesErased):
            return
        execution_id = envelope.originator_id
        if event.output:
            self.outputs.append(execution_id)
        if event.messages:
            # A sentence that comes with a later event is none of those that were erased.
            before = envelope.originator_version
            self.messages.append({"execution_id": execution_id, "version": before})

    def statements(self, recorded_at: datetime) -> list[tuple[bytes, Parameters]]:
        """Return the statements that do it, with their parameters, in order; none for nothing.

        The parameters are in binary format.
        """
        if not (self.outputs or self.messages or self.configurations):
            return []
        outputs = column("uuid", self.outputs)
        rest = (self.messages, sorted(self.configurations))
        return [
            (b"erase outputs", [outputs, scalar("timestamptz", recorded_at)]),
            (b"erase bodies", [outputs, *(msgspec.json.encode(rows) for rows in rest)]),
        ]


def erased_texts(event: BodiesErased | JobBodiesErased) -> tuple[str, ...]:
    """Return the digests of the configurations (and a job's definitions) that are gone."""
    if isinstance(event, JobBodiesErased):
        return event.bodies
    return () if event.configuration is None else (event.configuration,)
