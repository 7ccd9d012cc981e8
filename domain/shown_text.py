"""What a person may be shown of raw output: text that cannot act on a terminal or a page.

Nothing is dropped silently; what would act is replaced by something that can be seen:

* invalid UTF-8 by U+FFFD;
* control characters by their pictures (ESC by U+241B), so that of a control sequence (a title, a
  cursor movement, a link, a clipboard) only harmless text is left; a C1 control, such as U+009B,
  by the picture of ESC and the letter that means the same;
* a carriage return without a line feed by its picture and a line break: what a progress bar
  writes over its line is read below it, and what was there before stays to be read;
* what turns the direction of text round, or cannot be seen, by its number, such as `<U+202E>`.

Colour (SGR, `ESC [ … m`) may pass; it is reset at the end, and what would hide text does not pass.
Standard library only: agents' machines show output too.
"""

import codecs
import re
from typing import Final

# The parameters of a colour are few; what goes on longer is none.
_PARAMETERS: Final = "[0-9;:]{0,64}"
_UNFINISHED: Final = re.compile(rf"(?:\r|\x1b(?:\[{_PARAMETERS})?)\Z")
_ACTING: Final = re.compile(
    rf"\x1b\[{_PARAMETERS}m" + "|\r\n|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    # Bidirectional marks, embeddings, overrides and isolates; separators; what has no width; tags.
    "|[\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e0fff]"
)
_PICTURES: Final = 0x2400
_PICTURE_OF_DELETE: Final = "\N{SYMBOL FOR DELETE}"
_PICTURE_OF_ESCAPE: Final = "\N{SYMBOL FOR ESCAPE}"
_RESET: Final = "\x1b[0m"
_RESETS: Final = {"", "0", "00"}
_CONCEAL: Final = 8
_COLOURS: Final = {"38", "48", "58"}  # followed by an indexed colour (5;n) or by RGB (2;r;g;b)
_NUMBERS_OF: Final = {"5": 1, "2": 3}


def shown(data: bytes, *, plain: bool = False) -> str:
    """Return output as text that is safe to look at; `plain` lets no colour pass either."""
    text = ShownText(plain=plain)
    return text.feed(data) + text.flush()


class ShownText:
    """The same for output that comes in pieces, whatever their borders."""

    def __init__(self, *, plain: bool = False) -> None:
        self._plain = plain
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._coloured = False

    def feed(self, data: bytes) -> str:
        """Take bytes; return what may be shown now."""
        text = self._held + self._decoder.decode(data)
        unfinished = _UNFINISHED.search(text)
        end = len(text) if unfinished is None else unfinished.start()
        self._held = text[end:]
        return _ACTING.sub(self._replacement, text[:end])

    def flush(self) -> str:
        """Return the rest: nothing more comes."""
        text = self._held + self._decoder.decode(b"", final=True)
        self._held = ""
        rest = _ACTING.sub(self._replacement, text)
        if self._coloured:
            rest += _RESET
            self._coloured = False
        return rest

    def _replacement(self, found: "re.Match[str]") -> str:
        text = found.group()
        if len(text) > 1 and text[0] == "\x1b":
            parameters = text[2:-1]
            if self._plain or _may_hide(parameters):
                return _PICTURE_OF_ESCAPE + text[1:]
            self._coloured = parameters not in _RESETS
            return text
        if text == "\r\n":
            return "\n"
        return _picture(text)


def _picture(character: str) -> str:
    code = ord(character)
    if character == "\r":
        return "\N{SYMBOL FOR CARRIAGE RETURN}\n"
    if code < 0x20:  # noqa: PLR2004 - C0
        return chr(_PICTURES + code)
    if character == "\x7f":
        return _PICTURE_OF_DELETE
    if code < 0xA0:  # noqa: PLR2004 - C1: ESC and a letter mean the same
        return _PICTURE_OF_ESCAPE + chr(code - 0x40)
    return f"<U+{code:04X}>"


def _may_hide(parameters: str) -> bool:
    """True unless no parameter can mean to hide text; an 8 that numbers a colour does not."""
    numbers = iter(parameters.split(";"))
    for number in numbers:
        if number in _COLOURS:
            kind = next(numbers, "")
            if kind not in _NUMBERS_OF:
                return True
            for _ in range(_NUMBERS_OF[kind]):
                next(numbers, None)
        elif int(number.split(":")[0] or 0) == _CONCEAL:
            return True
    return False
