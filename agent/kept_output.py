"""What is kept of an output stream: files of exact bytes, offsets, and a bound.

The first half of what may be kept (the head) is one file, sent while the command runs. What comes
later goes into files of a fixed size (the tail), of which the oldest are removed; the tail is sent
at the end. What fell out between them is never silent: the tail's first request says from where
to where bytes were left out. A file's name says which byte of the stream is its first, so that
what is there can be read without anything else, whoever wrote it and however that one ended.
"""

from __future__ import annotations

import os
import sys
import time

from agent.bare import suppress
from agent.record import Record

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    import hashlib
    from collections.abc import Callable, Iterable
    from os import PathLike

    from agent.masking import Masker

KEPT_BYTES_MAX = 10 * 1024 * 1024
FLUSH_BYTES = 64 * 1024
FLUSH_SECONDS = 0.25
REQUEST_BYTES_MAX = 512 * 1024  # the server takes 1 MiB
STREAMS = ("stdout", "stderr")
_DIGEST_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_PARTS = 5  # of the tail; one more is being written


class Chunk(Record):
    """Bytes for one request. They stand at `skip_to` if it is given, else at `offset`."""

    offset: int
    skip_to: int | None
    data: bytes


def masker_for(secrets: Iterable[str], patterns: Iterable[str]) -> Masker | None:
    """Return what masks one stream; None if there is nothing to mask."""
    values = [os.fsencode(value) for value in secrets if value]
    shapes = [os.fsencode(pattern) for pattern in patterns]
    if not values and not shapes:
        return None
    from agent.masking import Masker  # noqa: PLC0415 - most runs have nothing to mask

    return Masker(values, shapes)


class KeptWriter:
    """Keeps one stream of a command; counts and hashes all of it, kept or not.

    A disk that takes no more must not disturb the command: then the rest is left out.
    """

    def __init__(
        self,
        folder: PathLike[str] | str | None,
        name: str,
        *,
        kept_max: int = KEPT_BYTES_MAX,
        masker: Masker | None = None,
        on_news: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare the files in `folder`; None keeps nothing. `on_news`: the head has grown."""
        self.name = name
        self.size = 0
        self.masker = masker
        self._folder = None if folder is None else os.fspath(folder)
        self._digest: hashlib._Hash | None = None  # of SHA-256, from the first byte on
        self._head_max = kept_max // 2
        self._tail_max = kept_max - kept_max // 2
        self._part_bytes = max(1, self._tail_max // _PARTS)
        self._parts: list[int] = []  # where those of the tail begin
        self._file: int | None = None
        self._room = self._head_max  # in the file that is being written
        self._on_news = on_news
        self._is_masked = True  # False: masking has failed, and nothing more may be kept

    def write(self, data: bytes) -> None:
        """Take bytes that the command wrote."""
        masked = data if self.masker is None else self._mask(self.masker.feed, data)
        if masked is None:
            self.size += len(data)  # only counted: it may hold what is secret
        else:
            self._take(masked)

    def close(self) -> None:
        """Take it that the command will write nothing more."""
        if self.masker is not None:
            self._take(self._mask(self.masker.flush) or b"")
        self._close_file()

    def summary(self) -> dict[str, int | str | None]:
        """Return length and digest of the whole stream (as masked)."""
        return {
            "bytes": self.size,
            "sha256": self._hex_digest() if self._is_masked else None,
        }

    def _hex_digest(self) -> str:
        return _DIGEST_OF_NOTHING if self._digest is None else self._digest.hexdigest()

    def _mask(self, step: Callable[..., bytes], *data: bytes) -> bytes | None:
        """Return masked bytes; None from the first fault on, which must not end the command."""
        if not self._is_masked:
            return None
        try:
            return step(*data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault of ours
            self._is_masked = False
            if self._folder is not None:
                self._keep_no_more()
            sys.stderr.write(
                f"the rest of {self.name} is not kept: masking failed ({type(error).__name__})\n"
            )
            return None

    def _take(self, data: bytes) -> None:
        if not data:
            return
        if self._digest is None:
            import hashlib  # noqa: PLC0415 - takes long, and many commands are silent

            self._digest = hashlib.sha256()
        self._digest.update(data)
        in_head = self.size < self._head_max
        start, self.size = self.size, self.size + len(data)
        if self._folder is None:
            return
        try:
            self._keep(start, memoryview(data))
        except OSError:
            self._keep_no_more()
        if in_head:
            self._on_news()

    def _keep(self, start: int, data: memoryview) -> None:
        while data:
            if self._file is None or self._room == 0:
                self._file = self._open_next(start)
            written = os.write(self._file, data[: self._room])
            start += written
            self._room -= written
            data = data[written:]

    def _open_next(self, start: int) -> int:
        self._close_file()
        descriptor = os.open(self._path(start), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._room = self._head_max
        if start > 0:
            self._room = self._part_bytes
            self._parts.append(start)
        # As long as those before the new one hold all that may be kept without the oldest.
        while len(self._parts) > 1 and start - self._parts[1] >= self._tail_max:
            os.unlink(self._path(self._parts.pop(0)))
        return descriptor

    def _keep_no_more(self) -> None:
        with suppress(OSError):
            self._close_file()
        for start in self._parts:  # there is one range that is left out, up to the end
            with suppress(OSError):
                os.unlink(self._path(start))
        self._folder = None

    def _close_file(self) -> None:
        descriptor, self._file = self._file, None
        if descriptor is not None:
            os.close(descriptor)

    def _path(self, start: int) -> str:
        assert self._folder is not None  # noqa: S101 - whoever calls has looked
        return f"{self._folder}/{self.name}.{start}"


class KeptOutput:
    """What is kept of one stream, for who sends it: while it is written, and afterwards."""

    def __init__(
        self, folder: PathLike[str] | str, name: str, *, kept_max: int = KEPT_BYTES_MAX
    ) -> None:
        self.name = name
        self.size = 0  # of the whole stream, as far as it is known
        self._folder = os.fspath(folder)
        self._tail_max = kept_max - kept_max // 2
        self._head = f"{self._folder}/{name}.0"
        self._head_bytes = 0
        self._tail: list[tuple[int, str]] = []
        self._tail_start = 0
        self._expected = 0  # the offset from which the server wants more
        self._closed = False
        self._discarding = False
        self._flushed_at = 0.0

    def look(self) -> None:
        """See how far the head has come."""
        if not self._discarding and not self._closed:
            self._head_bytes = _size(self._head)
            self.size = self._head_bytes

    def close(self, size: int | None) -> None:
        """Take it that nothing more comes after `size` bytes (None: nobody has counted them)."""
        self.look()
        self._closed = True
        parts = []
        for entry in _names_in(self._folder):
            name, _, start = entry.rpartition(".")
            if name == self.name and start.isdecimal() and start != "0":
                parts.append((int(start), f"{self._folder}/{entry}"))
        self._tail = sorted(parts)
        kept_to = self._tail[-1][0] + _size(self._tail[-1][1]) if self._tail else self._head_bytes
        self.size = kept_to if size is None else size
        if self._tail and kept_to >= self.size and not self._discarding:
            self._tail_start = max(self._tail[0][0], self.size - self._tail_max)
        else:
            self._tail, self._tail_start = [], self.size

    def discard(self) -> None:
        """Send nothing more: in the end, the rest is reported as left out. The server refuses."""
        self._discarding = True
        self._head_bytes = min(self._head_bytes, self._expected)
        self._tail_start = self.size

    @property
    def told_bytes(self) -> int:
        """The length to report: a server may hold bytes that our disk lost in a crash."""
        return max(self.size, self._expected)

    def is_done(self) -> bool:
        """True if the server has everything that it will get."""
        return self._closed and self._expected >= self.size

    def due_at(self) -> float | None:
        """Return the monotonic time at which the next chunk should go; None if there is none."""
        if self._closed:
            return None if self.is_done() else 0.0
        unsent = self._head_bytes - self._expected
        if unsent <= 0:
            return None
        return 0.0 if unsent >= FLUSH_BYTES else self._flushed_at + FLUSH_SECONDS

    def probe(self) -> Chunk:
        """Return a request without bytes, to which the server says where it stands."""
        return Chunk(self._head_bytes, None, b"")

    def next_chunk(self) -> Chunk:
        """Return what the server should get next; from there again until it is acknowledged."""
        self._flushed_at = time.monotonic()
        at = self._expected
        if at < self._head_bytes:
            return Chunk(at, None, _read(self._head, at, self._head_bytes - at))
        first = max(at, self._tail_start)
        data = b""
        for start, path in self._tail:
            stop = start + _size(path)
            if start <= first < stop:
                data = _read(path, first - start, self.size - first)
                break
        return Chunk(at, first if first > at else None, data)

    def acknowledge(self, next_offset: int) -> None:
        """Go on from where the server stands, be it further than thought or less far."""
        if not self._closed:  # no server can be ahead of the command
            next_offset = min(next_offset, self._head_bytes)
        self._expected = next_offset


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []  # a run that was never begun has no folder


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _read(path: str, start: int, limit: int) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        file.seek(start)
        return file.read(min(limit, REQUEST_BYTES_MAX))
