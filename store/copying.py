"""Whole tables in and out by COPY in binary format, row by row, at the speed of libpq.

psycopg's own COPY makes a Python object of every column. Here a reader gets a row's bytes and
takes out of them what it needs, and a writer's rows are packed by functions that are chosen once a
table. The layout is PostgreSQL's: the number of columns in 2 bytes, then each column after its
length in 4, -1 for null.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import repeat
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

from msgspec import Struct
from msgspec.structs import astuple
from psycopg import Connection, OperationalError, errors, pq

EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_SIGNATURE_BYTES: Final = 19
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
NULL: Final = b"\xff\xff\xff\xff"
_FLUSH_BYTES: Final = 128 * 1024
_TEXT_OID: Final = 25
_REMEMBERED_MAX: Final = 5000
_count: Final = struct.Struct(">h").pack
_length: Final = struct.Struct(">i").pack
_int2: Final = struct.Struct(">ih").pack
_int4: Final = struct.Struct(">ii").pack
_int8: Final = struct.Struct(">iq").pack
_float8: Final = struct.Struct(">id").pack
_array: Final = struct.Struct(">iiiii").pack

Packer = Callable[[Any], bytes]


def rows(connection: Connection[Any], statement: str) -> Iterator[memoryview]:
    """Return each row of a query, which `statement` copies to STDOUT in binary format, as it is.

    Nothing else may be done on the connection meanwhile. Raises psycopg's errors.
    """
    taken = connection.pgconn
    result = taken.exec_(statement.encode())
    if result.status != pq.ExecStatus.COPY_OUT:
        raise errors.error_from_result(result)
    get = taken.get_copy_data
    size, data = get(0)
    if size > 0:  # the first row comes together with the header
        size, data = size - _SIGNATURE_BYTES, data[_SIGNATURE_BYTES:]
    while size >= 0:
        if size > len(_TRAILER):
            yield data
        size, data = get(0)
    result = taken.get_result() or taken.make_empty_result(pq.ExecStatus.FATAL_ERROR)
    while taken.get_result() is not None:
        pass
    if result.status != pq.ExecStatus.COMMAND_OK:
        raise errors.error_from_result(result)


class Filling:
    """Fills a table; what was written counts once the block is left without an exception."""

    def __init__(self, connection: Connection[Any], statement: str) -> None:
        self._taken = connection.pgconn
        result = self._taken.exec_(statement.encode())
        if result.status != pq.ExecStatus.COPY_IN:
            raise errors.error_from_result(result)
        self._parts = [_HEADER]
        self._bytes = 0

    def write(self, packed: Sequence[bytes]) -> None:
        """Write some packed rows."""
        self._parts += packed
        self._bytes += sum(map(len, packed))
        if self._bytes > _FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._taken.put_copy_data(b"".join(self._parts))
        self._parts.clear()
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._taken.put_copy_end(b"given up")
        else:
            self._parts.append(_TRAILER)
            self._flush()
            self._taken.put_copy_end()
        failed = None
        while (result := self._taken.get_result()) is not None:
            if result.status != pq.ExecStatus.COMMAND_OK:
                failed = errors.error_from_result(result)
        if self._taken.status == pq.ConnStatus.BAD:
            failed = OperationalError("the connection to the database was lost")
        if failed is not None and error is None:
            raise failed


class RowPacker:
    """Packs Structs whose fields go into columns of a table, a column of many rows at a time.

    Most values of numbers, words and digests come again and again, and together: those are packed
    once for all rows that have the same ones, and stand at the end of a row. `columns` is the order
    in which a row is packed; the first field stays the first.
    """

    def __init__(self, types: Mapping[str, str]) -> None:
        """Take the types of the columns by name, in the order of the fields.

        Raises `KeyError` for a type that no read model had so far.
        """
        names = list(types)
        again = [name for name in names[1:] if types[name] in _COME_AGAIN]
        alone = [name for name in names if name not in again]
        self.columns: Sequence[str] = (*alone, *again)
        self._head = _count(len(names))
        self._alone = [(names.index(name), PACKERS[types[name]]) for name in alone]
        self._places = [names.index(name) for name in again]
        self._again = _Remembered([PACKERS[types[name]] for name in again])

    def __call__(self, rows: Sequence[Struct]) -> list[bytes]:
        """Return rows as COPY has them."""
        if not rows:
            return []
        values = list(zip(*map(astuple, rows), strict=True))
        parts: list[Iterable[bytes]] = [repeat(self._head, len(rows))]
        parts += [_packed(values[place], pack) for place, pack in self._alone]
        again = zip(*[values[place] for place in self._places], strict=True)
        parts.append(
            map(self._again.__getitem__, again) if self._places else repeat(b"", len(rows))
        )
        return list(map(b"".join, zip(*parts, strict=True)))


def _packed(column: Sequence[Any], pack: Packer) -> Iterable[bytes]:
    """Return the values of one column; most columns have only nulls, or none."""
    nulls = column.count(None)
    if nulls == len(column):
        return repeat(NULL, nulls)
    if not nulls:
        return map(pack, column)
    return [NULL if value is None else pack(value) for value in column]


def columns(data: memoryview, count: int | None = None) -> list[bytes | None]:
    """Return the bytes of the first `count` columns of a row, of all of them if None."""
    found: list[bytes | None] = []
    at = 2
    for _ in range(int.from_bytes(data[:2], "big") if count is None else count):
        size = int.from_bytes(data[at : at + 4], "big", signed=True)
        at += 4
        found.append(None if size < 0 else bytes(data[at : at + size]))
        at += max(0, size)
    return found


def uuid_text(column: bytes) -> str:
    """Return the UUID in a column, for people."""
    return str(UUID(bytes=column))


def number(column: bytes | None) -> int | None:
    """Return the whole number in a column."""
    return None if column is None else int.from_bytes(column, "big", signed=True)


class Sorted:
    """Rows in ascending order of their first columns, taken in step with something else."""

    def __init__(self, found: Iterator[memoryview], key_columns: int = 1) -> None:
        self._found = found
        self._key_columns = key_columns
        self.advance()

    def advance(self) -> None:
        """Go on to the next row; `row` is None after the last one."""
        self.row = next(self._found, None)
        self._key: tuple[bytes | None, ...] | None = None

    @property
    def key(self) -> tuple[bytes | None, ...] | None:
        """The first columns of the row."""
        if self._key is None and self.row is not None:
            self._key = tuple(columns(self.row, self._key_columns))
        return self._key

    def take(self) -> Iterator[memoryview]:
        """Return the rows from here on, for as long as who asks goes on asking."""
        while self.row is not None:
            row = self.row
            self.advance()
            yield row

    def before(self, key: tuple[bytes, ...]) -> Iterator[memoryview]:
        """Return the rows whose key is lower: nothing else has such a one."""
        while self.row is not None and self.key is not None and self.key[: len(key)] < key:
            row = self.row
            self.advance()
            yield row

    def at(self, key: tuple[bytes, ...]) -> Iterator[memoryview]:
        """Return the rows with this key; ask for those before it first."""
        while self.row is not None and self.key is not None and self.key[: len(key)] == key:
            row = self.row
            self.advance()
            yield row


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _length(len(encoded)) + encoded


def _hex(value: str) -> bytes:
    data = bytes.fromhex(value)
    return _length(len(data)) + data


def _uuid(value: UUID) -> bytes:
    return b"\0\0\0\x10" + value.int.to_bytes(16, "big")


def _time(value: datetime) -> bytes:
    since = value - EPOCH  # a division by timedeltas would take twice as long
    return _int8(8, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def _texts(value: Sequence[str]) -> bytes:
    if not value:
        packed = struct.pack(">iii", 0, 0, _TEXT_OID)
    else:
        packed = _array(1, 0, _TEXT_OID, len(value), 1) + b"".join(map(_text, value))
    return _length(len(packed)) + packed


class _Remembered(dict[tuple[Any, ...], bytes]):
    """Packed values that come again and again: one look-up instead of packing them."""

    def __init__(self, packers: Sequence[Packer]) -> None:
        super().__init__()
        self._packers = packers

    def __missing__(self, values: tuple[Any, ...]) -> bytes:
        if len(self) > _REMEMBERED_MAX:
            self.clear()
        pairs = zip(values, self._packers, strict=True)
        data = b"".join(NULL if value is None else pack(value) for value, pack in pairs)
        self[values] = data
        return data


# How a value that is not null is packed, with its length.
PACKERS: Final[dict[str, Packer]] = {
    "uuid": _uuid,
    "smallint": partial(_int2, 2),
    "integer": partial(_int4, 4),
    "bigint": partial(_int8, 8),
    "double precision": partial(_float8, 8),
    "boolean": lambda value: b"\0\0\0\x01" + bytes([value]),
    "text": _text,
    "text[]": _texts,
    "bytea": _hex,
    "timestamp with time zone": _time,
}
_COME_AGAIN: Final = frozenset({"smallint", "integer", "boolean", "text", "bytea"})
