"""Patterns that someone configured: regular expressions over bytes whose matches are masked.

Output comes in pieces, so of each pattern must be known how long a match can be, and whether the
end of a piece could be the beginning of one. Both are read from the expression's syntax tree.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

PATTERN_BYTES_MAX = 4096
_sre: Any = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
_FLAGS = ((re.IGNORECASE, b"i"), (re.DOTALL, b"s"))
_HERE = "what stands around a match may not have come yet"


class UnusablePatternError(ValueError):
    """This pattern cannot be masked in a stream; the message says why and what to write."""


class MaskPattern:
    """One pattern, with what a stream needs to know of it.

    Attributes:
        bytes_max: How long a match can be.
    """

    def __init__(self, pattern: bytes) -> None:
        """Read a pattern.

        Raises:
            UnusablePatternError: It is no regular expression, or none for a stream.
        """
        name = pattern.decode("utf-8", "backslashreplace")
        try:
            tree = _sre.parse(pattern)
            shortest, longest = tree.getwidth()
        except (re.error, RecursionError, OverflowError) as error:
            raise UnusablePatternError(
                f"the pattern {name} is no regular expression: {error}"
            ) from error
        if shortest == 0:
            raise UnusablePatternError(f"the pattern {name} also matches where nothing stands")
        if longest > PATTERN_BYTES_MAX:
            raise UnusablePatternError(
                f"the pattern {name} can match more than {PATTERN_BYTES_MAX} bytes: give its "
                f"repetitions an upper bound, such as {{1,100}}"
            )
        self.bytes_max: int = longest
        try:
            self._whole = re.compile(_written(tree, _one))
            self._begun = re.compile(_written(tree, _one_or_end) + rb"\Z")
        except _NotForStreams as refusal:
            raise UnusablePatternError(f"the pattern {name} {refusal}") from None

    def occurrences(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield where each match begins and ends, overlapping ones too."""
        found = self._whole.search(data)
        while found is not None:
            yield found.span()
            found = self._whole.search(data, found.start() + 1)

    def earliest(self, data: bytes) -> int:
        """Return where the end of the data may begin a match, or be one that grows."""
        found = self._begun.search(data, max(0, len(data) - self.bytes_max))
        return len(data) if found is None else found.start()


class _NotForStreams(Exception):
    """What an expression has that cannot be decided before more bytes come."""


def _one(expression: bytes) -> bytes:
    return expression


def _one_or_end(expression: bytes) -> bytes:
    return rb"(?:" + expression + rb"|\Z)"


def _written(tree: Any, byte: Callable[[bytes], bytes]) -> bytes:
    """Write an expression out again, each part that takes one byte as `byte` makes it."""
    flags = tree.state.flags
    if flags & re.LOCALE:
        raise _NotForStreams("depends on a locale, which differs from machine to machine")
    return _grouped(_sequence(tree, byte), flags, 0)


def _grouped(expression: bytes, added: int, removed: int) -> bytes:
    plus = b"".join(letter for flag, letter in _FLAGS if added & flag)
    minus = b"".join(letter for flag, letter in _FLAGS if removed & flag)
    return b"(?" + plus + (b"-" + minus if minus else b"") + b":" + expression + b")"


def _sequence(tree: Any, byte: Callable[[bytes], bytes]) -> bytes:
    return b"".join(_part(str(kind), value, byte) for kind, value in tree)


def _part(kind: str, value: Any, byte: Callable[[bytes], bytes]) -> bytes:
    if kind == "BRANCH":
        return b"(?:" + b"|".join(_sequence(branch, byte) for branch in value[1]) + b")"
    if kind == "SUBPATTERN":
        _, added, removed, tree = value
        return _grouped(_sequence(tree, byte), added, removed)
    if kind in {"MAX_REPEAT", "MIN_REPEAT"}:
        lowest, highest, tree = value
        lazy = b"?" if kind == "MIN_REPEAT" else b""
        return b"(?:%b){%d,%d}%b" % (_sequence(tree, byte), lowest, highest, lazy)
    if kind in {"AT", "ASSERT", "ASSERT_NOT"}:
        raise _NotForStreams(f"looks around (^, $, \\b, lookahead or the like): {_HERE}")
    single = _single(kind, value)
    if single is None:
        raise _NotForStreams("has a reference to a group, or a possessive or atomic part")
    return byte(single)


def _single(kind: str, value: Any) -> bytes | None:
    """Return the expression of a part that takes one byte; None if it is no such part."""
    if kind == "ANY":
        return b"."
    if kind == "LITERAL":
        return b"\\x%02x" % value
    if kind == "NOT_LITERAL":
        return b"[^\\x%02x]" % value
    return (
        b"[" + b"".join(_member(str(op), item) for op, item in value) + b"]"
        if kind == "IN"
        else None
    )


def _member(kind: str, value: Any) -> bytes:
    if kind == "NEGATE":
        return b"^"
    if kind == "RANGE":
        return b"\\x%02x-\\x%02x" % value
    if kind == "CATEGORY":
        return _CATEGORIES[str(value)]
    return b"\\x%02x" % value


_CATEGORIES = {
    "CATEGORY_DIGIT": rb"\d",
    "CATEGORY_NOT_DIGIT": rb"\D",
    "CATEGORY_SPACE": rb"\s",
    "CATEGORY_NOT_SPACE": rb"\S",
    "CATEGORY_WORD": rb"\w",
    "CATEGORY_NOT_WORD": rb"\W",
}
