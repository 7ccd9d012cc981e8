"""JSON as `json` reads and writes it, by the same code in C.

What is around that code in the standard library imports `re`, which takes longer than `exec` may
spend on all its JSON.
"""

from __future__ import annotations

__all__ = ["dumps", "loads"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    _parts: Callable[[Any, int], Iterable[str]]
    _document: Callable[[str, int], tuple[Any, int]]

_BLANKS = " \t\n\r"


class _Reading:
    """What the reader in C wants to know."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float  # NaN, Infinity and -Infinity


def dumps(document: Any) -> str:
    """Return a document as text. Raises TypeError, ValueError."""
    return "".join(_parts(document, 0))


def loads(text: str | bytes) -> Any:
    """Return what a text says, in UTF-8 if it is bytes. Raises ValueError, RecursionError."""
    found = (text if isinstance(text, str) else text.decode()).strip(_BLANKS)
    try:
        document, end = _document(found, 0)
    except StopIteration as stop:
        raise ValueError(f"no JSON at character {stop.value}") from None
    if end != len(found):
        raise ValueError(f"more than JSON at character {end}")
    return document


def _unknown(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} is not JSON")


if not TYPE_CHECKING:
    try:
        from _json import encode_basestring_ascii, make_encoder, make_scanner

        _document = make_scanner(_Reading)

        def _parts(document: Any, level: int) -> tuple[str, ...]:
            encoder = make_encoder(
                markers={},  # what it looks for circles with, of this document alone
                default=_unknown,
                encoder=encode_basestring_ascii,
                indent=None,
                key_separator=": ",
                item_separator=", ",
                sort_keys=False,
                skipkeys=False,
                allow_nan=True,
            )
            return encoder(document, level)

        # One that wants to be called in another way says so here, not in the middle of a run.
        loads(dumps({"a": [1, None]}))
    except Exception:  # noqa: BLE001 - a Python without it, or with another one: the long way
        from json import dumps, loads
