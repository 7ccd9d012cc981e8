"""In which forms the value of a secret may stand in output.

As it is, with line breaks as a terminal writes them, in URL encoding (any of its characters
encoded, upper or lower case, `+` for a space), and in base64 (both alphabets, padded or not, at
each of the three alignments that it can have within a longer text). Not looked for: other
encodings (hex, the escapes of JSON or a shell), and parts of a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product

# What is shorter would be found everywhere, and masking it would destroy the output. The server
# has the same limit.
SECRET_BYTES_MIN = 6
# A longer secret is looked for in pieces, which bounds what has to be held back.
_PIECE_BYTES_MAX = 256
_BREAKS = (b"\r\n", b"\n")
# base64 is often written in lines. A break before this many characters of a secret is not looked
# for: each line that ends in such a character would have to be held back.
_BEFORE_BREAK_MIN = 4
_BLANKS = b" \t\r"
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_OTHER_ALPHABET = {b"+": b"-", b"/": b"_"}
_BASE64_BITS = 6
_ALIGNMENTS = 3
# What may look otherwise even where nothing is escaped, and so cannot be part of an anchor.
_VARYING = re.compile(rb"[\r\n +/_-]+")

# What may stand for one character of a secret; of texts with a common beginning the longer first.
Texts = tuple[bytes, ...]


class Form:
    """One thing to look for: for each character of a secret the texts that may stand for it.

    Attributes:
        characters: Those texts.
        bytes_max: How long they can be together.
        anchor: What stands in each occurrence without a URL escape, quick to search for.
        escapes: The URL escapes of which any other occurrence has one.
    """

    def __init__(
        self, characters: Sequence[Texts], anchor: bytes, escapes: frozenset[bytes] = frozenset()
    ) -> None:
        self.characters = characters
        self.bytes_max = sum(max(map(len, texts)) for texts in characters)
        self.anchor = anchor
        self.escapes = escapes
        self._expression: re.Pattern[bytes] | None = None

    def occurrences(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield where each occurrence begins and ends, overlapping ones too."""
        if self._expression is None:  # most are never needed
            self._expression = re.compile(b"".join(map(_any_of, self.characters)))
        found = self._expression.search(data)
        while found is not None:
            yield found.span()
            found = self._expression.search(data, found.start() + 1)


def forms_of(secret: bytes) -> Iterator[Form]:
    """Yield the forms of a secret and of its lines; none of what is too short."""
    for value in dict.fromkeys(_values(secret)):
        for piece in _pieces(value):
            yield _as_it_is(piece)
            for alignment in range(_ALIGNMENTS):
                yield _in_base64(piece, alignment)


def _pieces(value: bytes) -> Iterator[bytes]:
    """Yield pieces of one size, each with the last byte of the one before, so that masks join."""
    count = -(-len(value) // _PIECE_BYTES_MAX)
    for number in range(count):
        start, end = len(value) * number // count, len(value) * (number + 1) // count
        yield value[max(0, start - 1) : end]


def _values(secret: bytes) -> Iterator[bytes]:
    unix = secret.replace(b"\r\n", b"\n")
    for value in (secret, unix, *(line.strip(_BLANKS) for line in unix.split(b"\n"))):
        if len(value) >= SECRET_BYTES_MIN:
            yield value


def _as_it_is(value: bytes) -> Form:
    """Return the form without an encoding, in URL encoding, or in a mixture of both."""
    characters = [_plain_or_escaped(byte) for byte in value]
    return Form(
        characters,
        anchor=max(_VARYING.split(value), key=len),
        escapes=frozenset(text for byte in value for text in _escaped(byte)),
    )


@lru_cache(maxsize=256)
def _plain_or_escaped(byte: int) -> Texts:
    return (*_escaped(byte), *_plain(byte))


def _plain(byte: int) -> Texts:
    if byte == ord("\n"):
        return _BREAKS
    return (b" ", b"+") if byte == ord(" ") else (bytes([byte]),)


def _escaped(byte: int) -> Texts:
    digits = ({digit, ord(chr(digit).upper())} for digit in b"%02x" % byte)
    texts = tuple(b"%" + bytes(pair) for pair in product(*digits))
    if byte == ord("\n"):
        return (*(before + text for before in (b"%0d", b"%0D") for text in texts), *texts)
    return texts


def _in_base64(value: bytes, alignment: int) -> Form:
    """Return the form in base64 behind `alignment` bytes of a group of three that we do not know.

    The first character that also has bits of those is left alone (it would have to be held back
    wherever it stands); the last one that also has bits of what follows is part of the match.
    """
    bits = int.from_bytes(value, "big")
    unread = 8 * len(value) - -8 * alignment % _BASE64_BITS
    characters: list[Texts] = []
    anchor = b""
    while unread > 0:
        free = max(0, _BASE64_BITS - unread)
        unread -= _BASE64_BITS
        lowest = (bits << free >> max(0, unread)) & 0x3F
        anchor += _ALPHABET[lowest : lowest + 1] if free == 0 else b"+"
        characters.append(_base64_texts(lowest, 1 << free, len(characters) >= _BEFORE_BREAK_MIN))
    return Form(characters, anchor=max(_VARYING.split(anchor), key=len))


@lru_cache(maxsize=1024)
def _base64_texts(lowest: int, count: int, may_follow_break: bool) -> Texts:  # noqa: FBT001 - cached
    texts = [_ALPHABET[number : number + 1] for number in range(lowest, lowest + count)]
    texts += [_OTHER_ALPHABET[text] for text in texts if text in _OTHER_ALPHABET]
    if may_follow_break:
        texts += [line_break + text for line_break in _BREAKS for text in texts]
    if count > 1:
        texts.append(b"")  # what was cut off there has told all the others already
    return tuple(texts)


def _any_of(texts: Texts) -> bytes:
    escaped = tuple(map(re.escape, texts))
    return escaped[0] if len(escaped) == 1 else b"(?:" + b"|".join(escaped) + b")"
