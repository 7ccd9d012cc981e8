"""Whole tables in and out by COPY in binary format, row by row, at the speed of libpq.

psycopg's own COPY makes a Python object of every column. Here a reader gets a row's bytes and
takes out of them what it needs, and a writer's rows are packed by functions that are chosen once a
table. The layout is PostgreSQL's: the number of columns in 2 bytes, then each column after its
length in 4, -1 for null.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from operator import call
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

from msgspec.structs import astuple
from psycopg import Connection, OperationalError, errors, pq

EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SIGNATURE_BYTES: Final = 19
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
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
    if size > 0:
        data = data[_SIGNATURE_BYTES:]  # the first row comes together with the header
    while size > 0:
        if len(data) > len(_TRAILER):
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

    def write(self, row: bytes) -> None:
        """Write one packed row."""
        self._parts.append(row)
        self._bytes += len(row)
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


def row_packer(types: Sequence[str]) -> Packer:
    """Return what packs a Struct whose fields go into columns of these types.

    Raises `KeyError` for a type that no read model had so far.
    """
    packers = [_PACKERS[name] for name in types]
    head = _count(len(packers))
    return lambda row: head + b"".join(map(call, packers, astuple(row)))


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
        self._advance()

    def _advance(self) -> None:
        self.row = next(self._found, None)
        self.key: tuple[bytes | None, ...] | None = None
        if self.row is not None:
            self.key = tuple(columns(self.row, self._key_columns))

    def take(self) -> Iterator[memoryview]:
        """Return the rows from here on, for as long as who asks goes on asking."""
        while self.row is not None:
            row = self.row
            self._advance()
            yield row

    def before(self, key: tuple[bytes, ...]) -> Iterator[memoryview]:
        """Return the rows whose key is lower: nothing else has such a one."""
        while self.row is not None and self.key is not None and self.key[: len(key)] < key:
            row = self.row
            self._advance()
            yield row

    def at(self, key: tuple[bytes, ...]) -> Iterator[memoryview]:
        """Return the rows with this key; ask for those before it first."""
        while self.row is not None and self.key is not None and self.key[: len(key)] == key:
            row = self.row
            self._advance()
            yield row


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _length(len(encoded)) + encoded


def _hex(value: str) -> bytes:
    data = bytes.fromhex(value)
    return _length(len(data)) + data


def _uuid(value: UUID | None) -> bytes:
    return _NULL if value is None else b"\0\0\0\x10" + value.int.to_bytes(16, "big")


def _bigint(value: int | None) -> bytes:
    return _NULL if value is None else _int8(8, value)


def _float(value: float | None) -> bytes:
    return _NULL if value is None else _float8(8, value)


def _time(value: datetime | None) -> bytes:
    return _NULL if value is None else _int8(8, (value - EPOCH) // _MICROSECOND)


def _texts(value: Sequence[str] | None) -> bytes:
    if value is None:
        return _NULL
    if not value:
        packed = struct.pack(">iii", 0, 0, _TEXT_OID)
    else:
        packed = _array(1, 0, _TEXT_OID, len(value), 1) + b"".join(map(_text, value))
    return _length(len(packed)) + packed


class _Remembered(dict[Any, bytes]):
    """Packed values of which most come again and again: one look-up instead of packing them."""

    def __init__(self, packed: Packer) -> None:
        super().__init__({None: _NULL})
        self._packed = packed

    def __missing__(self, value: Any) -> bytes:
        if len(self) > _REMEMBERED_MAX:
            self.clear()
            self[None] = _NULL
        data = self[value] = self._packed(value)
        return data


_PACKERS: Final[dict[str, Packer]] = {
    "uuid": _uuid,
    "smallint": _Remembered(lambda value: _int2(2, value)).__getitem__,
    "integer": _Remembered(lambda value: _int4(4, value)).__getitem__,
    "bigint": _bigint,
    "double precision": _float,
    "boolean": _Remembered(lambda value: b"\0\0\0\x01" + bytes([value])).__getitem__,
    "text": _Remembered(_text).__getitem__,
    "text[]": _texts,
    "bytea": _Remembered(_hex).__getitem__,
    "timestamp with time zone": _time,
}
