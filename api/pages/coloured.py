"""Output as HTML: what may be shown of it (domain/shown_text.py), with its colours as class names.

Colours of more than sixteen are shown as the nearest of the sixteen, so that the style sheet names
them all, none is written into the page, and each can be read on the background.
"""

import re
from html import escape
from typing import Final

from domain.shown_text import ShownText

_SGR: Final = re.compile("\x1b\\[([0-9;:]*)m")
_ON: Final = {"1": "b", "2": "d", "3": "i", "4": "u", "7": "r", "9": "s"}
_OFF: Final = {"22": "bd", "23": "i", "24": "u", "27": "r", "29": "s"}
_PALETTE: Final = (
    *((0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0)),
    *((0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229)),
    *((127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0)),
    *((92, 92, 255), (255, 0, 255), (0, 255, 255), (255, 255, 255)),
)
_CUBE: Final = (0, 95, 135, 175, 215, 255)
_COLOUR_MAX: Final = 255
_RGB: Final = 3


class Coloured:
    """Makes HTML of output that comes in pieces, whatever their borders."""

    def __init__(self) -> None:
        self._text = ShownText()
        self._styles: set[str] = set()
        self._front: int | None = None
        self._back: int | None = None

    def feed(self, data: bytes) -> str:
        """Take bytes; return the HTML of what may be shown now."""
        return self._spans(self._text.feed(data))

    def flush(self) -> str:
        """Return the rest: nothing more comes."""
        return self._spans(self._text.flush())

    def _spans(self, text: str) -> str:
        parts: list[str] = []
        at = 0
        for found in _SGR.finditer(text):
            parts.append(self._span(text[at : found.start()]))
            self._apply(found[1])
            at = found.end()
        parts.append(self._span(text[at:]))
        return "".join(parts)

    def _span(self, text: str) -> str:
        if not text:
            return ""
        names = sorted(self._styles)
        if self._front is not None:
            names.append(f"f{self._front}")
        if self._back is not None:
            names.append(f"g{self._back}")
        shown = escape(text, quote=False)
        return f'<span class="{" ".join(names)}">{shown}</span>' if names else shown

    def _apply(self, parameters: str) -> None:
        # With colons the parts of one colour stand together, mostly after an empty colour space.
        numbers = iter(re.sub(":+", ";", parameters).split(";"))
        for number in numbers:
            code = number.lstrip("0") or "0"
            if code == "0":
                self._styles.clear()
                self._front = self._back = None
            elif code in _ON:
                self._styles.add(_ON[code])
            elif code in _OFF:
                self._styles.difference_update(_OFF[code])
            elif code in {"38", "48", "58"}:
                self._extended(code, [next(numbers, "") for _ in range(_extent(next(numbers, "")))])
            else:
                self._plain(int(code))

    def _plain(self, code: int) -> None:
        match code:
            case 39:
                self._front = None
            case 49:
                self._back = None
            case _ if 30 <= code <= 37 or 90 <= code <= 97:  # noqa: PLR2004 - ECMA-48's
                self._front = code - 30 if code < 90 else code - 82  # noqa: PLR2004
            case _ if 40 <= code <= 47 or 100 <= code <= 107:  # noqa: PLR2004
                self._back = code - 40 if code < 100 else code - 92  # noqa: PLR2004

    def _extended(self, code: str, said: list[str]) -> None:
        colour = _nearest([int(value or 0) for value in said])
        if code == "38":
            self._front = colour
        elif code == "48":
            self._back = colour


def _extent(kind: str) -> int:
    return {"5": 1, "2": _RGB}.get(kind, 0)


def _nearest(said: list[int]) -> int | None:
    """Return which of the sixteen is nearest to an indexed colour or to RGB; None if it is none."""
    if not said or max(said) > _COLOUR_MAX:
        return None
    if len(said) == _RGB:
        rgb = (said[0], said[1], said[2])
    elif said[0] < len(_PALETTE):
        return said[0]
    elif said[0] < 232:  # noqa: PLR2004 - 16 to 231 are a cube of colours
        index = said[0] - 16
        rgb = (_CUBE[index // 36], _CUBE[index // 6 % 6], _CUBE[index % 6])
    else:
        grey = 8 + 10 * (said[0] - 232)
        rgb = (grey, grey, grey)
    return min(range(len(_PALETTE)), key=lambda n: _distance(rgb, _PALETTE[n]))


def _distance(one: tuple[int, int, int], other: tuple[int, int, int]) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
