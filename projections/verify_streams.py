"""The log stream by stream: legal paths, readable payloads, bodies, the read models refolded."""

import gc
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import Struct
from psycopg import Connection

from domain.events import BodyDigest, Ending
from domain.execution import Execution
from domain.streams import State, evolve
from projections.findings import Findings
from projections.folding import complete
from projections.kinds import KINDS, kind_of
from projections.read_models import ReadModel, Refold
from projections.snapshot import Snapshot
from projections.verify_bodies import Bodies, Erased
from projections.verify_rows import Compared, Expected, InStep
from projections.workers import Listener
from store.log_streams import Range, Stream, batches
from store.witness import Sighting


class Judged(NamedTuple):
    """What one stream comes to: its last readable state, since when, and the bodies it names."""

    state: State | None
    position: int
    endings: list[Ending]
    messages: dict[int, BodyDigest]


class Look(Struct, frozen=True):
    """What all parts have in common: what they see, and what they compare it with."""

    snapshot: Snapshot
    ledger_id: UUID
    seen: Sighting | None
    head: int
    models: Sequence[ReadModel]
    tables: Sequence[Compared]
    gone: Erased


def check_streams(look: Look, part: Range, found: Findings, listener: Listener) -> list[Refold]:
    """Note what is wrong with some streams, their bodies and rows; return what rows are left."""
    gc.set_threshold(100_000)
    with ExitStack() as stack:

        def connect() -> Connection[Any]:
            return stack.enter_context(look.snapshot.connect())

        bodies = Bodies(connect, part, look.gone)
        refolds = [model.refold() for model in look.models]
        in_step = {
            one.table: InStep(connect(), one, part, found) for one in look.tables if one.is_in_step
        }
        aside = {one.table: one.packer() for one in look.tables if not one.is_in_step}
        for batch in batches(connect(), part):
            judged = [judge(stream, found) for stream in batch]
            for state, _, endings, messages in judged:
                if isinstance(state, Execution):
                    bodies.check(found, state.id, endings, messages)
            states = [(state, at) for state, at, *_ in judged if state is not None]
            for table, rows in complete(refolds, states).items():
                if table in in_step:
                    in_step[table].expect(rows)
                elif table in aside:
                    listener.take(Expected(table, aside[table](rows)))
            listener.add(sum(len(stream.versions) for stream in batch))
        bodies.rest(found)
        asking = connect()
        for one in in_step.values():
            one.finish(asking)
    return refolds


def judge(stream: Stream, found: Findings) -> Judged:
    """Follow one stream by the rules of its kind, and note where it leaves them."""
    _check_order(stream, found)
    one, begins = stream.id, stream.kind
    kind = KINDS.get(kind_of(begins))
    if kind is None:
        found.add("payload", one, f"begins with {begins}: a kind that is not known here")
        return Judged(None, 0, [], {})
    state: State | None = None
    endings: list[Ending] = []
    messages: dict[int, BodyDigest] = {}
    for position, happened in zip(stream.positions, stream.happened, strict=False):
        if (complaint := kind.complaint(state, happened)) is not None:
            found.add("path", one, f"position {position}: {complaint}")
        ending = getattr(happened.event, "ending", None)
        if ending is not None:
            endings.append(ending)
            if ending.message is not None:
                messages[happened.originator_version] = ending.message
        state = evolve(state, happened)
    readable = len(stream.happened)
    if stream.unreadable is not None:
        found.add("payload", one, f"position {stream.positions[readable]}: {stream.unreadable}")
    return Judged(state, stream.positions[readable - 1] if readable else 0, endings, messages)


def _check_order(stream: Stream, found: Findings) -> None:
    """Note versions that do not follow each other, and positions that do not rise."""
    last = before = 0
    for number, (version, position) in enumerate(
        zip(stream.versions, stream.positions, strict=True), 1
    ):
        if version not in (number, before + 1) or (number == 1 and version != 1):
            found.add("version", stream.id, f"version {version} stands where {number} should be")
        if position <= last:
            found.add("order", stream.id, f"version {version} is at {position}, after {last}")
        last, before = position, version
