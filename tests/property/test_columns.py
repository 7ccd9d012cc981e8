"""Rows that are packed as columns are what PostgreSQL reads."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import astuple, replace

from store.columns import Columns, column, execute, scalar
from tests.support.postgres import Database, Postgres


class Anything(Struct, frozen=True):
    """A column of each type that a statement may have."""

    uuid: UUID | None
    smallint: int | None
    integer: int | None
    bigint: int | None
    double: float | None
    boolean: bool | None
    text: str | None
    texts: tuple[str, ...] | None
    bytea: bytes | None
    time: datetime | None


_FILL: Final = """
INSERT INTO anything SELECT
    unnest($1::uuid[]), unnest($2::smallint[]), unnest($3::integer[]), unnest($4::bigint[]),
    unnest($5::float8[]), unnest($6::boolean[]), unnest($7::text[]), unnest($8::text[])::text[],
    unnest($9::bytea[]), unnest($10::timestamptz[])"""
_TEXTS: Final = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
_TIMES: Final = st.datetimes(timezones=st.just(UTC))
_ROWS: Final = st.builds(
    Anything,
    uuid=st.none() | st.uuids(),
    smallint=st.none() | st.integers(-(2**15), 2**15 - 1),
    integer=st.none() | st.integers(-(2**31), 2**31 - 1),
    bigint=st.none() | st.integers(-(2**63), 2**63 - 1),
    double=st.none() | st.floats(allow_nan=False),
    boolean=st.none() | st.booleans(),
    text=st.none() | _TEXTS,
    texts=st.none() | st.lists(_TEXTS, max_size=3).map(tuple),
    bytea=st.none() | st.binary(max_size=9),
    time=st.none() | _TIMES,
)
_NOTHING: Final = Anything(None, None, None, None, None, None, None, None, None, None)


@pytest.fixture(scope="module")
def lent(postgres: Postgres) -> Iterator[psycopg.Connection[Any]]:
    """A connection with a table for all examples."""
    made: Database = postgres.fresh()
    with psycopg.connect(made.owner, autocommit=True, options="-c timezone=UTC") as connection:
        connection.execute(
            "CREATE TEMPORARY TABLE anything (uuid uuid, smallint smallint, integer integer,"
            " bigint bigint, double float8, boolean boolean, text text, texts text[], bytea bytea,"
            " time timestamptz)"
        )
        yield connection
    postgres.drop(made)


def _filled(lent: psycopg.Connection[Any], rows: Sequence[Anything]) -> list[tuple[Any, ...]]:
    lent.execute("TRUNCATE anything")
    execute(lent, _FILL, Columns(_FILL).of(rows))
    return lent.execute("SELECT * FROM anything").fetchall()


def _as_stored(row: Anything) -> tuple[Any, ...]:
    return tuple(list(one) if isinstance(one, tuple) else one for one in astuple(row))


@settings(max_examples=50)
@given(
    rows=st.lists(_ROWS, min_size=1, max_size=9)
    | st.lists(st.sampled_from([_NOTHING]) | _ROWS, min_size=1, max_size=2)
    | st.tuples(_ROWS, st.integers(1, 9)).map(lambda alike: [alike[0]] * alike[1])
)
def test_columns_are_read_as_rows(lent: psycopg.Connection[Any], rows: list[Anything]) -> None:
    """Whatever is null or alike in them, rows come out as they went in, and in their order."""
    # Of rows of nothing but nulls no array would say how many there are: one column is not null.
    rows = [replace(row, bigint=number) for number, row in enumerate(rows)]

    found = _filled(lent, rows)

    assert found == [_as_stored(row) for row in rows]


@pytest.mark.parametrize("column", ["smallint", "integer", "bigint"])
def test_a_number_that_is_too_large_is_refused_as_data(column: str) -> None:
    """The database would refuse it too: it is that command's fault, and not a bug."""
    with pytest.raises(psycopg.DataError):
        Columns(_FILL).of([replace(_NOTHING, **{column: 2**63})])


def test_what_the_database_refuses_is_raised(lent: psycopg.Connection[Any]) -> None:
    """A text may be packed that no text of PostgreSQL's can be; its refusal is that of data."""
    with pytest.raises(psycopg.DataError):
        _filled(lent, [replace(_NOTHING, text="\0")])


@given(ids=st.lists(st.uuids(), max_size=3), time=_TIMES)
def test_arrays_and_single_values_are_read(
    lent: psycopg.Connection[Any], ids: list[UUID], time: datetime
) -> None:
    """An array may be empty."""
    lent.execute("TRUNCATE anything")
    execute(
        lent,
        "INSERT INTO anything (uuid, time) SELECT unnest($1::uuid[]), $2::timestamptz",
        [column("uuid", ids), scalar("timestamptz", time)],
    )

    found = lent.execute("SELECT uuid, time FROM anything").fetchall()

    assert found == [(one, time) for one in ids]


def test_what_is_of_another_kind_is_refused_as_data() -> None:
    """A time without a zone is that command's fault alone."""
    with pytest.raises(psycopg.DataError):
        Columns(_FILL).of([replace(_NOTHING, time=datetime(2026, 1, 1))])  # noqa: DTZ001


def test_columns_of_different_lengths_are_a_bug() -> None:
    """PostgreSQL would fill the shorter one up with nulls, and nobody would know."""
    statement = "SELECT unnest($1::bigint[]), unnest($2::text[]), unnest($3::text[])"

    assert Columns(statement)([[1, 2], [None], ["a", "b"]])
    with pytest.raises(ValueError, match="lengths"):
        Columns(statement)([[1, 2], [None], ["a"]])


def test_arrays_stand_in_the_order_of_their_numbers() -> None:
    """Types are taken in the order of the text."""
    with pytest.raises(ValueError, match="order"):
        Columns("SELECT unnest($2::bigint[]), unnest($1::text[])")


def test_a_lost_connection_is_told_from_a_refusal(database: Database) -> None:
    """Who repeats what a lost connection has cost asks for that class of error."""
    with psycopg.connect(database.owner, autocommit=True) as lost:
        with psycopg.connect(database.owner) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [lost.info.backend_pid])

        with pytest.raises(psycopg.OperationalError):
            execute(lost, "SELECT $1::text", [b"x"])
