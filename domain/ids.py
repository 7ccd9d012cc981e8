"""Ids: TypeIDs for people and programs, UUIDv7 for the database.

A TypeID is a prefix, an underscore and 26 characters of Crockford base32 that spell a UUID
(https://github.com/jetify-com/typeid, specification 0.3). A UUIDv7 (RFC 9562, section 5.7) begins
with its millisecond, so that the order of ids is the order of creation.

Standard library only, since agents make ids too.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Final
from uuid import NAMESPACE_URL, UUID, SafeUUID, uuid5

from domain.id_numbers import ALPHABET, EXECUTION, TEXT_LENGTH, RisingNumbers, spelled

__all__ = ["EXECUTION", "REQUEST", "TOKEN", "Uuid7", "from_text", "to_text"]

TOKEN: Final = "tok"  # noqa: S105 - a prefix, not a secret
REQUEST: Final = "req"

# Python's own digits in base 32 for each character; what is none becomes a sign that is no digit.
_DIGITS: Final = bytes(
    b"0123456789abcdefghijklmnopqrstuv"[ALPHABET.index(chr(code))] if chr(code) in ALPHABET else 33
    for code in range(256)
)
_JOBS: Final = uuid5(NAMESPACE_URL, "urn:cronledger:job")
_JOB_STREAMS: Final = uuid5(NAMESPACE_URL, "urn:cronledger:job-stream")
# An execution's id is told when it is created, claimed and ended, mostly within a short time.
_spelled: Final = lru_cache(maxsize=4096)(spelled)
_UNKNOWN: Final = SafeUUID.unknown  # to ask the class for it takes a third of a UUID's time
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - on Python 3.9 too


def to_text(prefix: str, value: UUID) -> str:
    """Return the TypeID of `value`, such as ``exec_01k9…``."""
    return _spelled(prefix, value.int)


def from_text(prefix: str, text: str) -> UUID | None:
    """Return the UUID that the TypeID `text` spells, or None if it is no TypeID of this kind."""
    start = len(prefix) + 1
    if len(text) != start + TEXT_LENGTH or not text.startswith(prefix + "_"):
        return None
    try:
        number = int(text[start:].encode("ascii").translate(_DIGITS), 32)
    except ValueError:
        return None
    return _uuid(number) if number < 1 << 128 else None


def is_uuid7(value: UUID) -> bool:
    """Tell whether `value` has the version and variant bits of a UUIDv7."""
    return value.version == 7  # noqa: PLR2004 - the name says it


def created_at(value: UUID) -> datetime:
    """Return the moment, in whole milliseconds, at which the UUIDv7 `value` was made."""
    return _EPOCH + timedelta(milliseconds=created_ms(value))


def created_ms(value: UUID) -> int:
    """Return the milliseconds from 1970 until the UUIDv7 `value` was made."""
    return value.int >> 80


def lowest_at(moment: datetime) -> UUID:
    """Return the lowest UUIDv7-ordered value at or after `moment`: a bound for range queries.

    `moment` must be aware. Parts of a millisecond round up, since an id made in a millisecond
    stands at its beginning.
    """
    milliseconds = -((_EPOCH - moment) // timedelta(milliseconds=1))
    return UUID(int=min(max(milliseconds, 0), (1 << 48) - 1) << 80)


@lru_cache(maxsize=4096)
def derived_job_id(job_name: str) -> str:
    """Return the job id of an execution that names only its job: always the same one."""
    digest = uuid5(_JOBS, job_name).bytes
    return "job_" + base64.b32encode(digest).decode().rstrip("=").lower()


@lru_cache(maxsize=4096)
def job_stream(job_id: str) -> UUID:
    """Return the stream of the job with this public id, whatever text that is."""
    return uuid5(_JOB_STREAMS, job_id)


def execution_due(stream: UUID, due_at: datetime, made_at: datetime) -> UUID:
    """Return the id of the execution of the job `stream` for a due time: always the same one.

    A UUIDv7 of the millisecond `made_at`, at which it is made if all goes well; what is random in
    others follows from job and due time, so that whoever makes it, and how often, it is one.
    """
    milliseconds = (made_at - _EPOCH) // timedelta(milliseconds=1)
    due = (due_at - _EPOCH) // timedelta(milliseconds=1)
    digest = hashlib.sha256(stream.bytes + due.to_bytes(8, "big")).digest()
    rest = int.from_bytes(digest[:10], "big")
    return UUID(
        int=milliseconds << 80
        | 0x7 << 76
        | (rest >> 68 & 0xFFF) << 64
        | 0b10 << 62
        | rest & ((1 << 62) - 1)
    )


class Uuid7:
    """Makes UUIDv7s that rise strictly within one process: see `RisingNumbers`."""

    def __init__(self, clock_ns: Callable[[], int], random_bits: Callable[[int], int]) -> None:
        self._next_number = RisingNumbers(clock_ns, random_bits)

    def __call__(self) -> UUID:
        """Return the next id."""
        return _uuid(self._next_number())


def _uuid(number: int) -> UUID:
    """Return a UUID without the checks of its constructor, which take longer than all the rest."""
    value = object.__new__(UUID)
    object.__setattr__(value, "int", number)
    object.__setattr__(value, "is_safe", _UNKNOWN)
    return value
