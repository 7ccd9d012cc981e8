"""Rows as parameters of a statement: an array in binary format for each of their columns.

PostgreSQL takes such arrays apart for a third of what a JSON array of rows costs it, and we pack
them for little more. The statement unnests them side by side, in its list of columns: in FROM each
would first be put aside in a table of its own. See docs/decisions/0023.
"""

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import psycopg
from msgspec import Struct
from msgspec.structs import astuple
from psycopg import Connection, errors, pq

from store.copying import NULL, PACKERS, Packer
from store.roundtrip import text_array

# In binary format; JSON is the same in both.
Parameters: TypeAlias = Sequence[bytes | None]
# Packs values as they follow each other in an array.
_Values: TypeAlias = Callable[[Sequence[Any]], bytes]

# One whose values are arrays themselves travels as texts: PostgreSQL has no arrays of arrays.
_ARRAY: Final = re.compile(r"unnest\(\$(\d+)::(\w+)\[\]\)(?:::(text\[\]))?")
_OIDS: Final = {
    "boolean": 16,
    "bytea": 17,
    "bigint": 20,
    "smallint": 21,
    "integer": 23,
    "text": 25,
    "text[]": 25,
    "float8": 701,
    "timestamptz": 1184,
    "uuid": 2950,
}
# Values that come again and again, and mostly the same one in all rows.
_COME_AGAIN: Final = frozenset({"smallint", "integer", "boolean", "text", "float8"})
_REMEMBERED_MAX: Final = 5000
_SIXTEEN: Final = b"\0\0\0\x10"
_length: Final = struct.Struct(">i").pack


class Columns:
    """Packs the columns of rows for a statement, of which `$1` to `$n` are arrays.

    The types are those that the statement names. A column of which all values are null is null
    itself, so that the statement has nothing to do for it.
    """

    def __init__(self, statement: str) -> None:
        """Take the types from a statement.

        Raises `KeyError` for a type that no statement had so far, and `ValueError` for arrays that
        do not stand in the order of their numbers.
        """
        found = _ARRAY.findall(statement)
        if [int(number) for number, _, _ in found] != list(range(1, 1 + len(found))):
            raise ValueError(f"not in order: {statement}")
        self._columns = [_column(inner or kind) for _, kind, inner in found]

    def __call__(self, columns: Iterable[Sequence[Any]]) -> list[bytes | None]:
        """Return the columns of one row or more.

        Raises `DataError` for a value that its column cannot hold, and `ValueError` if the columns
        are not of one length: PostgreSQL would fill the shorter ones up with nulls.
        """
        found: list[bytes | None] = []
        rows = 0
        try:
            for (head, pack, is_alike), values in zip(self._columns, columns, strict=True):
                first, size = values[0], len(values)
                # Of most columns all values are null, or the same.
                if first is None and values.count(None) == size:
                    found.append(None)
                    continue
                if size != (rows := rows or size):
                    raise ValueError("columns of different lengths")
                if is_alike and values.count(first) == size:
                    data = pack((first,)) * size
                else:
                    data = pack(values)
                found.append(head + _bounds(size) + data)
        except (struct.error, OverflowError, TypeError) as error:
            raise psycopg.DataError(str(error)) from error
        return found

    def of(self, rows: Iterable[Struct]) -> list[bytes | None]:
        """Return the columns of Structs whose fields stand in the order of the arrays."""
        return self(zip(*map(astuple, rows), strict=True))


def column(kind: str, values: Sequence[Any]) -> bytes:
    """Return the only column of some rows."""
    head, pack, _ = _column(kind)
    return head + _bounds(len(values)) + pack(values)


def scalar(kind: str, value: Any) -> bytes:
    """Return one value."""
    return _PACKERS[kind](value)[4:]


def execute(connection: Connection[Any], statement: str, parameters: Parameters) -> None:
    """Execute a statement with such parameters on a connection of psycopg's.

    Raises psycopg's errors.
    """
    formats = [pq.Format.BINARY] * len(parameters)
    result = connection.pgconn.exec_params(statement.encode(), parameters, param_formats=formats)
    if result.status not in {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK}:
        if connection.pgconn.status == pq.ConnStatus.BAD:
            raise psycopg.OperationalError("the connection to the database was lost")
        raise errors.error_from_result(result)


class _Remembered(dict[Any, bytes]):
    """Values that were packed before: a look-up costs less."""

    def __init__(self, pack: Packer) -> None:
        super().__init__({None: NULL})
        self._pack = pack

    def __missing__(self, value: Any) -> bytes:
        if len(self) > _REMEMBERED_MAX:
            self.clear()
            self[None] = NULL
        self[value] = packed = self._pack(value)
        return packed

    def of(self, values: Iterable[Any]) -> bytes:
        """Return several, as they follow each other in an array."""
        return b"".join(map(self.__getitem__, values))


def _bounds(size: int) -> bytes:
    return _length(size) + b"\0\0\0\1"


def _column(kind: str) -> tuple[bytes, _Values, bool]:
    """Return the head of an array, how values are packed, and whether to look if all are alike."""
    head = struct.pack(">iii", 1, 1, _OIDS[kind])  # one dimension, and nulls among them
    if kind == "uuid":
        return head, _uuids, False
    if kind in _COME_AGAIN:
        return head, _Remembered(_PACKERS[kind]).of, True
    return head, partial(_each, _PACKERS[kind]), kind == "bigint"


def _each(pack: Packer, values: Iterable[Any]) -> bytes:
    return b"".join([NULL if value is None else pack(value) for value in values])


def _uuids(values: Iterable[Any]) -> bytes:
    # The most frequent of those that never come again; a call for each would take as long again.
    return b"".join(
        [NULL if value is None else _SIXTEEN + value.int.to_bytes(16, "big") for value in values]
    )


def _bytes(value: bytes) -> bytes:
    return _length(len(value)) + value


def _texts(value: Sequence[str]) -> bytes:
    return _bytes(text_array(value))


_PACKERS: Final[dict[str, Packer]] = PACKERS | {
    "bytea": _bytes,
    "text[]": _texts,
    "float8": PACKERS["double precision"],
    "timestamptz": PACKERS["timestamp with time zone"],
}
