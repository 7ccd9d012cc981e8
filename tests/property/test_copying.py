"""What is packed for COPY is what PostgreSQL reads, and what it would write itself."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import asdict

from store.copying import Filling, RowPacker, Sorted, columns, rows
from tests.support.postgres import Database, Postgres


class Anything(Struct, frozen=True):
    """A column of each type that a read model may have."""

    uuid: UUID | None
    smallint: int | None
    integer: int | None
    bigint: int | None
    double: float | None
    boolean: bool | None
    text: str | None
    texts: list[str] | None
    bytea: str | None
    time: datetime | None


TYPES = (
    *("uuid", "smallint", "integer", "bigint", "double precision", "boolean", "text", "text[]"),
    *("bytea", "timestamp with time zone"),
)
_TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
_ROWS = st.builds(
    Anything,
    uuid=st.none() | st.uuids(),
    smallint=st.none() | st.integers(-(2**15), 2**15 - 1),
    integer=st.none() | st.integers(-(2**31), 2**31 - 1),
    bigint=st.none() | st.integers(-(2**63), 2**63 - 1),
    double=st.none() | st.floats(allow_nan=False),
    boolean=st.none() | st.booleans(),
    text=st.none() | _TEXTS,
    texts=st.none() | st.lists(_TEXTS, max_size=3),
    bytea=st.none() | st.binary(max_size=9).map(bytes.hex),
    time=st.none()
    | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants them bare
)


@pytest.fixture(scope="module")
def lent(postgres: Postgres) -> Iterator[Database]:
    """A database for all examples."""
    made = postgres.fresh()
    yield made
    postgres.drop(made)


@settings(max_examples=25)
@given(made=st.lists(_ROWS, max_size=20))
def test_rows_go_in_and_out(lent: Database, made: list[Anything]) -> None:
    """Rows that were packed are read as they were, and copied out as the same bytes."""
    pack = RowPacker(dict(zip(Anything.__struct_fields__, TYPES, strict=True)))
    order = ", ".join(f'"{name}"' for name in pack.columns)
    listed = ", ".join(
        f'"{name}" {kind}' for name, kind in zip(Anything.__struct_fields__, TYPES, strict=True)
    )
    with psycopg.connect(lent.owner, autocommit=True, options="-c timezone=UTC") as connection:
        connection.execute(f"CREATE TEMPORARY TABLE anything ({listed})".encode())
        with Filling(connection, f"COPY anything ({order}) FROM STDIN (FORMAT BINARY)") as filling:
            filling.write(pack(made))

        found = connection.execute("SELECT * FROM anything").fetchall()
        copied = rows(connection, f"COPY anything ({order}) TO STDOUT (FORMAT BINARY)")
        out = [bytes(row) for row in copied]

    assert found == [_as_stored(row) for row in made]
    assert out == pack(made) == [packed for row in made for packed in pack([row])]


def _as_stored(row: Anything) -> tuple[object, ...]:
    values = asdict(row)
    if row.bytea is not None:
        values["bytea"] = bytes.fromhex(row.bytea)
    return tuple(values.values())


def test_sorted_rows_are_taken_in_step() -> None:
    """Rows below a key, at it, and the rest are told apart, each once."""
    made = [memoryview(b"\0\1\0\0\0\1" + bytes([key])) for key in (1, 2, 2, 4, 5)]
    taken = Sorted(iter(made))

    assert [columns(row) for row in taken.before((b"\2",))] == [[b"\1"]]
    assert [columns(row) for row in taken.at((b"\2",))] == [[b"\2"], [b"\2"]]
    assert list(taken.at((b"\3",))) == []
    assert [columns(row) for row in taken.before((b"\5",))] == [[b"\4"]]
    assert [columns(row) for row in taken.take()] == [[b"\5"]]
