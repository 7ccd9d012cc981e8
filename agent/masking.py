"""Masks secrets in a stream of bytes, before any of it leaves the machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from agent.beginnings import Beginnings
from agent.mask_patterns import MaskPattern
from agent.secret_forms import Form, forms_of

MASK = b"[masked]"
# Surrogates that stand for no byte of a file name or argument.
_NO_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")


class Masker:
    """Replaces each occurrence of a secret by `[masked]`, across the borders of chunks too.

    Occurrences that overlap become one `[masked]`. What is held back is only the end of the data
    so far that could be the beginning of a secret: never more than the longest form of one. The
    secrets' forms are those of `secret_forms`; values shorter than SECRET_BYTES_MIN are not masked.

    Attributes:
        masked: How many times something was replaced, in the stream and in texts.
    """

    def __init__(self, secrets: Iterable[bytes], patterns: Iterable[bytes] = ()) -> None:
        """Prepare to mask.

        Raises:
            UnusablePatternError: A pattern is none, or none for a stream.
        """
        self.masked = 0
        self._forms = [form for secret in dict.fromkeys(secrets) for form in forms_of(secret)]
        self._patterns = [MaskPattern(pattern) for pattern in dict.fromkeys(patterns)]
        self._beginnings = Beginnings(self._forms)
        self._escapes = _any_escape(self._forms)
        self._held = b""
        self._covered = 0  # how much of the held bytes a `[masked]` that went out stands for

    def feed(self, data: bytes) -> bytes:
        """Take bytes; return what may go out now."""
        data = self._held + data
        limit = self._beginnings.earliest(data)
        for pattern in self._patterns:
            limit = min(limit, pattern.earliest(data))
        return self._release(data, limit)

    def flush(self) -> bytes:
        """Return the rest: nothing more comes."""
        return self._release(self._held, len(self._held))

    def text(self, value: str) -> str:
        """Return a whole text, masked; it is not part of the stream."""
        data = _NO_BYTES.sub("\N{REPLACEMENT CHARACTER}", value).encode("utf-8", "surrogateescape")
        return self._masked(data, len(data), 0)[0].decode("utf-8", "surrogateescape")

    def _release(self, data: bytes, limit: int) -> bytes:
        out, done = self._masked(data, limit, self._covered)
        self._held = data[limit:]
        self._covered = max(0, done - limit)
        return out

    def _masked(self, data: bytes, limit: int, done: int) -> tuple[bytes, int]:
        """Mask what begins before `limit`; return it, and up to where the data is dealt with."""
        out = []
        for start, end in sorted(self._occurrences(data)):
            if start >= limit:
                break
            if start >= done:
                out += [data[done:start], MASK]
                self.masked += 1
            done = max(done, end)
        out.append(data[done:limit])
        return b"".join(out), done

    def _occurrences(self, data: bytes) -> Iterator[tuple[int, int]]:
        if self._forms:
            # Searching for fixed bytes is many times as fast as the expressions, which are for the
            # few chunks where something is found.
            unbroken = data.replace(b"\n", b"").replace(b"\r", b"")
            escapes = set(self._escapes.findall(data))
            for form in self._forms:
                if form.anchor in unbroken or not form.escapes.isdisjoint(escapes):
                    yield from form.occurrences(data)
        for pattern in self._patterns:
            yield from pattern.occurrences(data)


def _any_escape(forms: Iterable[Form]) -> re.Pattern[bytes]:
    """Return the expression for the URL escapes that any of the forms may have."""
    codes = {escape[1:3] for form in forms for escape in form.escapes}
    return re.compile(b"%(?:" + b"|".join(sorted(codes)) + b")")
