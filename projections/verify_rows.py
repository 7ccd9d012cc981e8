"""The read models' rows against the rows that a new fold of the log gives."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

from msgspec import Struct
from psycopg import Connection
from psycopg.sql import SQL, Identifier

from projections import shadow
from projections.findings import SHOWN_MAX, Findings, said
from projections.read_models import ReadModel
from projections.snapshot import Snapshot
from store import copying
from store.copying import Filling, RowPacker, Sorted, columns
from store.log_streams import Range

KIND: Final = "read model"
_EXPECTED: Final = "expected_"


class Compared(Struct, frozen=True):
    """A table of a read model, as it is there: its rows, columns with their types, and key."""

    table: str
    row: type[Struct]
    types: Mapping[str, str]
    key: Sequence[str]

    @property
    def is_in_step(self) -> bool:
        """Whether it has one row a stream, in the order in which streams are folded."""
        first = self.row.__struct_fields__[0]
        return self.key == ["id"] and self.types["id"] == "uuid" and first == "id"

    def packer(self) -> RowPacker:
        """Return what packs its rows, so that they can be compared and copied into it."""
        return RowPacker({name: self.types[name] for name in self.row.__struct_fields__})


def compared(
    connection: Connection[Any], models: Sequence[ReadModel], found: Findings
) -> list[Compared]:
    """Return the tables that can be compared, and note the others."""
    tables = []
    for model in models:
        for table, row in model.tables.items():
            if not shadow.exists(connection, table):
                found.add(KIND, table, "the table is missing")
                continue
            types = shadow.column_types(connection, table)
            if sorted(types) == sorted(row.__struct_fields__):
                tables.append(Compared(table, row, types, shadow.key(connection, table)))
            else:
                found.add(KIND, table, f"has the columns {', '.join(types)}")
    return tables


class Expected(NamedTuple):
    """Some packed rows of a table that is compared once all parts of the log have given theirs."""

    table: str
    packed: Sequence[bytes]


class InStep:
    """A table with one row a stream: read beside the fold, in the same order.

    Rows are compared as the bytes that COPY has for them: what is equal need not be understood.
    """

    def __init__(
        self, connection: Connection[Any], one: Compared, part: Range, found: Findings
    ) -> None:
        self._table = one.table
        self._found = found
        self._pack = one.packer()
        self._names = self._pack.columns
        listed = ", ".join(f'"{name}"' for name in self._names)
        self._stored = Sorted(
            copying.rows(
                connection,
                f"COPY (SELECT {listed} FROM {shadow.READ}.{one.table}"  # noqa: S608 - our names
                f" WHERE {part.condition('id')} ORDER BY id) TO STDOUT (FORMAT BINARY)",
            )
        )
        self._differing: dict[Any, Struct] = {}

    def expect(self, rows: Sequence[Struct]) -> None:
        """Compare each with the row that is stored under the same key."""
        for row, packed in zip(rows, self._pack(rows), strict=True):
            stored = self._stored.row
            if stored is not None and stored == packed:
                self._stored.advance()
            else:
                self._expect_another(row, packed)

    def _expect_another(self, row: Struct, packed: bytes) -> None:
        one = getattr(row, self._names[0])
        key = packed[6:22]
        stored = self._stored
        for extra in stored.before((key,)):
            self._extra(extra)
        found = next(stored.at((key,)), None)
        if found is None:
            self._found.add(KIND, f"{self._table} {one}", "the row is missing")
        elif found != packed:
            self._differs(one, row, columns(found), columns(memoryview(packed)))

    def finish(self, connection: Connection[Any]) -> None:
        """Note the rows that are left over, and say of the others what is wrong with them."""
        for extra in self._stored.take():
            self._extra(extra)
        query = SQL("SELECT {} FROM {} WHERE {} = %s").format(
            SQL(", ").join(map(Identifier, self._names)),
            Identifier(shadow.READ, self._table),
            Identifier(self._names[0]),
        )
        for one, expected in self._differing.items():
            row = connection.execute(query, [one]).fetchone()
            for name, stored in zip(self._names, row or (), strict=False):
                told = getattr(expected, name)
                shown = stored.hex() if isinstance(stored, bytes) else stored
                if shown != (list(told) if isinstance(told, tuple) else told):
                    self._found.add(
                        KIND,
                        f"{self._table} {one}",
                        f"{name} is {said(shown)}, and should be {said(told)}",
                    )

    def _differs(
        self, one: Any, row: Struct, stored: list[bytes | None], expected: list[bytes | None]
    ) -> None:
        if len(self._differing) < SHOWN_MAX:
            self._differing[one] = row
            return
        for name, there, told in zip(self._names, stored, expected, strict=False):
            if there != told:
                self._found.add(KIND, f"{self._table} {one}", f"{name} is another")

    def _extra(self, row: memoryview) -> None:
        (key,) = columns(row, 1)
        one = copying.uuid_text(key or b"")
        self._found.add(KIND, f"{self._table} {one}", "the row belongs to no execution")


class Aside:
    """Any other table: what the fold gives is laid into a temporary one, and compared there."""

    def __init__(
        self, stack: ExitStack, snapshot: Snapshot, one: Compared, found: Findings
    ) -> None:
        self._connection = connection = stack.enter_context(snapshot.connect())
        self._table = one.table
        self._found = found
        self._pack = one.packer()
        self._names = self._pack.columns
        self._key = one.key
        connection.execute(
            SQL("CREATE TEMPORARY TABLE {} (LIKE {})").format(
                Identifier(_EXPECTED + one.table), Identifier(shadow.READ, one.table)
            )
        )
        listed = ", ".join(f'"{name}"' for name in self._names)
        self._filling = Filling(
            connection, f"COPY pg_temp.{_EXPECTED}{one.table} ({listed}) FROM STDIN (FORMAT BINARY)"
        )
        self._closing = stack.enter_context(ExitStack())
        self._closing.enter_context(self._filling)

    def lay(self, some: Expected) -> None:
        """Lay some rows aside that the fold gives."""
        self._filling.write(some.packed)

    def finish(self, rest: Sequence[Struct]) -> None:
        """Take the last rows, compare, and say what differs."""
        self._filling.write(self._pack(rest))
        self._closing.close()
        parts = {
            "stored": Identifier(shadow.READ, self._table),
            "told": Identifier("pg_temp", _EXPECTED + self._table),
            "key": SQL(", ").join(map(Identifier, self._key)),
        }
        alone = SQL(
            "SELECT t IS NULL, {key} FROM {stored} AS t FULL JOIN {told} AS e USING ({key})"
            " WHERE t IS NULL OR e IS NULL"
        ).format(**parts)
        for is_missing, *where in self._connection.execute(alone):
            wrong = "the row is missing" if is_missing else "the row belongs to nothing"
            self._found.add(KIND, self._subject(where), wrong)
        for name in self._names:
            differing = SQL(
                "SELECT t.{name}, e.{name}, {key} FROM {stored} AS t JOIN {told} AS e USING ({key})"
                " WHERE t.{name} IS DISTINCT FROM e.{name}"
            ).format(name=Identifier(name), **parts)
            for stored, told, *where in self._connection.execute(differing):
                wrong = f"{name} is {said(stored)}, and should be {said(told)}"
                self._found.add(KIND, self._subject(where), wrong)

    def _subject(self, where: Sequence[Any]) -> str:
        return " ".join([self._table, *map(str, where)])
