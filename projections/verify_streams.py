"""The log stream by stream: legal paths, readable payloads, bodies, the read models refolded."""

import gc
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import psycopg
from msgspec import Struct
from psycopg import Connection

from domain.events import BodyDigest, Ending
from domain.execution import Execution
from domain.streams import State, evolve
from projections import shadow
from projections.findings import Findings
from projections.folding import by_table, complete
from projections.kinds import KINDS, kind_of
from projections.read_models import ReadModel
from projections.verify_bodies import Bodies, erased
from projections.verify_rows import KIND, Comparison, comparison
from store.log_streams import Range, Stream, batches


class Judged(NamedTuple):
    """What one stream comes to: its last readable state, since when, and the bodies it names."""

    state: State | None
    position: int
    endings: list[Ending]
    messages: dict[int, BodyDigest]


def check_streams(
    conninfo: str, snapshot: str, models: Sequence[ReadModel], tell: Callable[[int], None]
) -> Findings:
    """Return what is wrong with streams, bodies and read models."""
    gc.set_threshold(100_000)
    found = Findings()
    with ExitStack() as stack:

        def connect() -> Connection[Any]:
            connection = stack.enter_context(psycopg.connect(conninfo, autocommit=True))
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            connection.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            return connection

        asking = connect()
        bodies = Bodies(connect(), connect(), connect())
        bodies.erased = erased(asking)
        refolded = _Refolded(stack, connect, models, found)
        for batch in batches(connect(), Range()):
            judged = [judge(stream, found) for stream in batch]
            for one in judged:
                if isinstance(one.state, Execution):
                    bodies.check(found, one.state.id, one.endings, one.messages)
            refolded.take(judged)
            tell(sum(len(stream.versions) for stream in batch))
        bodies.rest(found)
        refolded.finish(asking)
    return found


class _Refolded:
    """The read models' rows once more, each compared with the one that stands there."""

    def __init__(
        self,
        stack: ExitStack,
        connect: Callable[[], Connection[Any]],
        models: Sequence[ReadModel],
        found: Findings,
    ) -> None:
        self._refolds = [model.refold() for model in models]
        self._tables: dict[str, Comparison] = {}
        asking = connect()
        for model in models:
            for table, row in model.tables.items():
                if _is_as_written(asking, table, row.__struct_fields__, found):
                    self._tables[table] = comparison(stack, connect, table, row, found)

    def take(self, judged: Sequence[Judged]) -> None:
        """Take some streams in their last states."""
        states = [(state, at) for state, at, *_ in judged if state is not None]
        self._expect(complete(self._refolds, states))

    def finish(self, connection: Connection[Any]) -> None:
        """Compare what is left."""
        self._expect(by_table(row for refold in self._refolds for row in refold.rest()))
        for one in self._tables.values():
            one.finish(connection)

    def _expect(self, found: Mapping[str, Sequence[Struct]]) -> None:
        for table, rows in found.items():
            if table in self._tables:
                self._tables[table].expect(rows)


def _is_as_written(
    connection: Connection[Any], table: str, columns: Sequence[str], found: Findings
) -> bool:
    if not shadow.exists(connection, table):
        found.add(KIND, table, "the table is missing")
        return False
    there = list(shadow.column_types(connection, table))
    if sorted(there) != sorted(columns):
        found.add(KIND, table, f"has the columns {', '.join(there)}")
        return False
    return True


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
