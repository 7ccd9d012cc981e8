"""A whole ledger as one file: what stands on its lines, and how they are written and read.

A file is lines of JSON, packed by zstandard if wished. The first says which ledger this is, then
come all events in order of position, then the rows of the body tables, and at last how many there
were and a hash over all lines before, so that a file that was cut or changed is noticed. The
payload of an event stands on its line byte for byte. One ledger in one state gives one file.
"""

import hashlib
import io
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, BinaryIO, Final, TypeAlias
from uuid import UUID

import msgspec
import zstandard
from msgspec import UNSET, Raw, Struct, UnsetType

FORMAT: Final = 1
_ZSTANDARD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_LEVEL: Final = 3
_BUFFER_BYTES: Final = 1 << 20


class Refused(Exception):
    """The file cannot be imported, and nothing of it was; the sentence says why."""


class LedgerLine(Struct, tag_field="kind", tag="ledger"):
    """The first line: which ledger, with which key, how far it had come."""

    format: int
    ledger_id: UUID
    created_at: datetime
    key_check: bytes
    position: int
    leaf_hash: bytes


class EventLine(Struct, tag_field="kind", tag="event", omit_defaults=True):
    """An event. A payload that is no JSON object on one line stands in `payload_base64`."""

    position: int
    commit_number: int
    occurred_at: datetime
    recorded_at: datetime
    stream_id: UUID
    command_id: UUID
    correlation_id: UUID
    version: int
    schema_version: int
    type: str
    actor: str
    leaf_hash: bytes
    payload: Raw | UnsetType = UNSET
    payload_base64: bytes | UnsetType = UNSET

    @property
    def stored(self) -> bytes:
        """The payload's own bytes."""
        if self.payload_base64 is not UNSET:
            return self.payload_base64
        return b"" if self.payload is UNSET else bytes(self.payload)


class RowLine(Struct, tag_field="kind", tag="row"):
    """A row of one of the body tables by the names of its columns; bytes are base64."""

    table: str
    row: dict[str, Any]


class EndLine(Struct, tag_field="kind", tag="end"):
    """The last line; `sha256` is of all the bytes before it."""

    events: int
    rows: int
    sha256: str


Line: TypeAlias = LedgerLine | EventLine | RowLine | EndLine

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Line)


class _SomeObject(Struct):
    """Any JSON object; what is in it is passed over."""


_object_decoder: Final = msgspec.json.Decoder(_SomeObject)


def payload_fields(payload: bytes) -> tuple[Raw | UnsetType, bytes | UnsetType]:
    """Return a payload as the two fields of its line: as it is if it can stand there."""
    if payload.startswith(b"{") and payload.endswith(b"}") and b"\n" not in payload:
        try:
            payload.decode()
            _object_decoder.decode(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        else:
            return Raw(payload), UNSET
    return UNSET, payload


class Writer:
    """Writes lines, and counts and hashes them for the last one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self.events = 0
        self.rows = 0

    def write(self, lines: list[Line]) -> None:
        """Write some lines."""
        text = _encoder.encode_lines(lines)
        self._sha256.update(text)
        self._file.write(text)

    def end(self) -> None:
        """Write the last line."""
        self.write([EndLine(self.events, self.rows, self._sha256.hexdigest())])


class Reader:
    """Reads lines one by one, and compares the last one with those before. Raises `Refused`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._number = 0
        self._counts = {EventLine: 0, RowLine: 0}

    def lines(self) -> Iterator[Line]:
        """Yield all lines but the last, then check that."""
        before = self._sha256.copy()
        for text in self._texts():
            self._number += 1
            line = self._decoded(text)
            if isinstance(line, EndLine):
                self._check_end(line, before.hexdigest())
                return
            if type(line) in self._counts:
                self._counts[type(line)] += 1
            before.update(text)
            yield line
        raise Refused(f"The file ends after line {self._number}, without its last one: it was cut.")

    def refused(self, reason: str) -> Refused:
        """Return the refusal of the line that was read last."""
        return Refused(f"Line {self._number}: {reason}.")

    def _texts(self) -> Iterator[bytes]:
        try:
            yield from self._file
        except (zstandard.ZstdError, OSError, EOFError) as error:
            raise Refused(f"After line {self._number} the file cannot be read: {error}.") from error

    def _decoded(self, text: bytes) -> Line:
        if not text.endswith(b"\n"):
            raise Refused(f"Line {self._number} is not whole: the file was cut.")
        try:
            line: Line = _decoder.decode(text)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            kind = "no export of Cronledger" if self._number == 1 else "damaged"
            raise self.refused(f"the file is {kind} ({error})") from error
        return line

    def _check_end(self, said: EndLine, sha256: str) -> None:
        if (said.events, said.rows) != tuple(self._counts.values()):
            raise self.refused("the file does not hold as many events and rows as it says")
        if said.sha256 != sha256:
            raise self.refused("the file was changed: its lines are not those that were written")
        if next(self._texts(), None) is not None:
            raise self.refused("something follows the last line")


def packed(file: BinaryIO) -> BinaryIO:
    """Return a file that packs what is written to it; close it before `file`."""
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    return compressor.stream_writer(file, closefd=False)


def opened(file: BinaryIO, progress: Callable[[int], None]) -> BinaryIO:
    """Return a file of lines, unpacked if it is packed; `progress` is told the bytes of `file`."""
    source = io.BufferedReader(_Told(file, progress), _BUFFER_BYTES)
    if source.peek(len(_ZSTANDARD_MAGIC)).startswith(_ZSTANDARD_MAGIC):
        unpacked = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
        return io.BufferedReader(unpacked, _BUFFER_BYTES)
    return source


class _Told(io.RawIOBase):
    """A file that tells how much of it was read."""

    def __init__(self, file: BinaryIO, progress: Callable[[int], None]) -> None:
        super().__init__()
        self._file = file
        self._progress = progress
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._read += len(data)
        self._progress(self._read)
        return len(data)
