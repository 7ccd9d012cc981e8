"""One output stream between a command and the server: exact bytes, offsets, bounded memory.

The first half of what may be kept (the head) is sent while the command runs; what comes later goes
through a ring that holds the last half (the tail), which is sent at the end. What fell out between
them is never silent: the tail's first request says from where to where bytes were left out.
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass

KEPT_BYTES_MAX = 10 * 1024 * 1024
UNSENT_BYTES_MAX = 1024 * 1024
FLUSH_BYTES = 64 * 1024
FLUSH_SECONDS = 0.25
REQUEST_BYTES_MAX = 512 * 1024  # the server takes 1 MiB


@dataclass(frozen=True)
class Chunk:
    """Bytes for one request. They stand at `skip_to` if it is given, else at `offset`."""

    offset: int
    skip_to: int | None
    data: bytes


class TailRing:
    """The last bytes written to it, `capacity` at most."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._bytes = bytearray()
        self._next = 0  # where the next byte goes, once the ring is full

    def __len__(self) -> int:
        return len(self._bytes)

    def write(self, data: bytes) -> None:
        """Add bytes; the oldest make room."""
        if len(data) >= self._capacity:
            self._bytes[:] = data[len(data) - self._capacity :]
            self._next = 0
            return
        room = self._capacity - len(self._bytes)
        self._bytes += data[:room]
        rest = data[room:]
        first = rest[: self._capacity - self._next]
        self._bytes[self._next : self._next + len(first)] = first
        second = rest[len(first) :]
        self._bytes[: len(second)] = second
        if rest:
            self._next = (self._next + len(rest)) % self._capacity

    def read(self, start: int, size: int) -> bytes:
        """Return up to `size` bytes, counted from the oldest one held."""
        position = self._next + start
        stop = min(self._next + len(self._bytes), position + size)
        length = len(self._bytes)
        if position >= length:
            return bytes(self._bytes[position - length : stop - length])
        wrapped = max(0, stop - length)
        return bytes(self._bytes[position : min(stop, length)] + self._bytes[:wrapped])

    def clear(self) -> None:
        """Hold nothing, now and later."""
        self._capacity = 0
        self._bytes.clear()
        self._next = 0


class OutputStream:
    """What one stream's reader writes and its sender takes.

    `write` and `close` belong to the reader, everything else to the sender. Both streams of a run
    share one condition, so that one sender can wait for either.
    """

    def __init__(
        self,
        name: str,
        changed: threading.Condition,
        *,
        kept_max: int = KEPT_BYTES_MAX,
        unsent_max: int = UNSENT_BYTES_MAX,
    ) -> None:
        self.name = name
        self.size = 0
        self.closed = False
        self._changed = changed
        self._digest = hashlib.sha256()
        self._head_room = kept_max // 2
        self._unsent_max = unsent_max
        self._unsent = bytearray()  # of the head, not yet known to be at the server
        self._unsent_at = 0  # the offset of its first byte
        self._tail = TailRing(kept_max - kept_max // 2)
        self._expected = 0  # the offset from which the server wants more
        self._flushed_at = 0.0
        self._discarding = False

    def write(self, data: bytes) -> None:
        """Take bytes the command wrote; waits while too many are unsent (back-pressure)."""
        self._digest.update(data)
        with self._changed:
            self.size += len(data)
            if self._discarding:
                return
            head = data[: self._head_room]
            if head:
                self._changed.wait_for(self._has_room)
                self._keep_head(head)
            if len(head) < len(data):
                self._tail.write(data[len(head) :])
            self._changed.notify_all()

    def close(self) -> None:
        """Say that the command will write nothing more."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def sha256(self) -> str:
        """Return the digest of all bytes the command wrote, kept or not."""
        return self._digest.hexdigest()

    def discard(self) -> None:
        """Keep nothing more: what comes is counted and hashed, and in the end reported as left out.

        For a server that refuses output, and for a sender that has given up: nobody waits any more.
        """
        with self._changed:
            self._discarding = True
            self._unsent.clear()
            self._tail.clear()
            self._changed.notify_all()

    # The following three are called with the condition held.

    def is_done(self) -> bool:
        """True if the server has everything that it will get."""
        return self.closed and self._expected >= self.size

    def due_at(self) -> float | None:
        """Return the monotonic time at which the next chunk should go; None if there is none."""
        if self.closed:
            return None if self.is_done() else 0.0
        if not self._unsent:
            return None
        return 0.0 if len(self._unsent) >= FLUSH_BYTES else self._flushed_at + FLUSH_SECONDS

    def next_chunk(self) -> Chunk:
        """Return what the server should get next; the same again until it is acknowledged."""
        self._flushed_at = time.monotonic()
        if self._unsent:
            first, data = self._unsent_at, bytes(self._unsent[:REQUEST_BYTES_MAX])
        else:
            tail_start = self.size - len(self._tail)
            first = max(self._expected, tail_start)
            data = self._tail.read(first - tail_start, REQUEST_BYTES_MAX)
        return Chunk(self._expected, first if first > self._expected else None, data)

    def acknowledge(self, next_offset: int) -> None:
        """Go on from where the server stands, be it further than thought or less far."""
        with self._changed:
            if not self.closed:  # no server can be ahead of the command
                next_offset = min(next_offset, self._unsent_at + len(self._unsent))
            self._expected = next_offset
            gone = min(max(0, next_offset - self._unsent_at), len(self._unsent))
            del self._unsent[:gone]
            self._unsent_at += gone
            self._changed.notify_all()

    def _keep_head(self, head: bytes) -> None:
        if not self._discarding:  # it may have begun while we waited
            self._head_room -= len(head)
            self._unsent += head

    def _has_room(self) -> bool:
        return self._discarding or len(self._unsent) < self._unsent_max
