"""Rules of what may be shown: nothing acts, nothing disappears."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.shown_text import ShownText, shown

ATTACKS = {
    "title": (b"\x1b]0;you\x07", "␛]0;you␇"),
    "hyperlink": (b"\x1b]8;;http://x\x1b\\bank\x1b]8;;\x1b\\", "␛]8;;http://x␛\\bank␛]8;;␛\\"),
    "clipboard": (b"\x1b]52;c;cm0gLXJm\x07", "␛]52;c;cm0gLXJm␇"),
    "clear screen": (b"\x1b[2J\x1b[H", "␛[2J␛[H"),
    "cursor up and erase": (b"\x1b[1A\x1b[2K", "␛[1A␛[2K"),
    "report cursor": (b"\x1b[6n\x1b[c", "␛[6n␛[c"),
    "alternate screen": (b"\x1b[?1049h", "␛[?1049h"),
    "private SGR": (b"\x1b[>4;1m\x1b[?1m", "␛[>4;1m␛[?1m"),
    "intermediate SGR": (b"\x1b[1 m", "␛[1 m"),
    "DCS": (b'\x1bP$q"p\x1b\\', '␛P$q"p␛\\'),
    "APC": (b"\x1b_Gi=1;AAAA\x1b\\", "␛_Gi=1;AAAA␛\\"),
    "PM, SOS": (b"\x1b^x\x1b\\\x1bXy\x1b\\", "␛^x␛\\␛Xy␛\\"),
    "reset": (b"\x1bc", "␛c"),
    "character set": (b"\x1b(0\x0e", "␛(0␎"),
    "C1 as a byte": (b"\x9b31m", "\N{REPLACEMENT CHARACTER}31m"),
    "C1 in UTF-8": (b"\xc2\x9b31m\xc2\x9d0;t\xc2\x9c", "␛[31m␛]0;t␛\\"),
    "C1 without a letter": (b"\xc2\x80", "␛@"),
    "backspace": (b"no\b\byes", "no␈␈yes"),
    "bell, NUL, delete": (b"\a\0\x7f", "␇␀␡"),
    "vertical tab, form feed": (b"\v\f", "␋␌"),
    "overwritten line": (b"rm -rf /\rls      \n", "rm -rf /␍\nls      \n"),
    "two carriage returns": (b"a\r\r\nb\r", "a␍\n\nb␍\n"),
    "bidi override": ("a\u202egnp\u2066x\u2069".encode(), "a<U+202E>gnp<U+2066>x<U+2069>"),
    "marks": ("\u200e\u061c".encode(), "<U+200E><U+061C>"),
    "line separator": ("\u2028".encode(), "<U+2028>"),
    "tags": ("\U000e0041".encode(), "<U+E0041>"),
    "no width": ("pass\u200bword\ufeff".encode(), "pass<U+200B>word<U+FEFF>"),
    "hidden text": (b"\x1b[8mx\x1b[1;08mx", "␛[8mx␛[1;08mx"),
    "hidden behind a colour": (b"\x1b[38;5;1;8mx", "␛[38;5;1;8mx"),
    "hidden behind half a colour": (b"\x1b[38;8mx", "␛[38;8mx"),
    "hidden in parts": (b"\x1b[8:1mx\x1b[38:5:1;8mx", "␛[8:1mx␛[38:5:1;8mx"),
    "endless colour": (b"\x1b[" + b"1;" * 40 + b"m", "␛[" + "1;" * 40 + "m"),
    "unfinished": (b"x\x1b[3", "x␛[3"),
    "invalid UTF-8": (b"\xff\xc3(\xe2\x82", "\ufffd\ufffd(\ufffd"),
    "overlong ESC": (b"\xc0\x9b[2J", "\ufffd\ufffd[2J"),
    "surrogates": (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_known_attacks_do_nothing(name: str) -> None:
    """Each is seen as what it is, coloured or plain."""
    data, expected = ATTACKS[name]
    assert shown(data) == expected
    assert shown(data, plain=True) == expected


@pytest.mark.parametrize(
    "sequence", [b"\x1b[m", b"\x1b[31m", b"\x1b[1;38;5;8m", b"\x1b[48;2;8;8;8;4m", b"\x1b[4:3m"]
)
def test_colour_passes_and_is_reset(sequence: bytes) -> None:
    """Colours stay, and do not run on into what comes after; `plain` shows them as they are."""
    reset = "" if sequence == b"\x1b[m" else "\x1b[0m"
    assert shown(b"a" + sequence + b"b") == "a" + sequence.decode() + "b" + reset
    assert shown(sequence, plain=True) == "␛" + sequence.decode()[1:]


def test_text_stays_as_it_is() -> None:
    """Any language, tabs and line breaks of either kind."""
    text = "Grüße\t日本語\n🙂 e\u0301 \xa0 שלום\n"
    assert shown(text.encode()) == text
    assert shown(b"a\r\nb\r\n") == "a\nb\n"


pieces = st.one_of(
    st.sampled_from([data for data, _ in ATTACKS.values()]),
    st.binary(max_size=6),
    st.sampled_from([b"\x1b[31m", b"\x1b[", b"\x1b", b"\r", b"\n", b"\xe2\x80", b"m", b"\xae"]),
)


@given(st.lists(pieces, max_size=6).map(b"".join), st.booleans(), st.randoms(use_true_random=False))
def test_chunks_make_no_difference(data: bytes, plain: bool, chance: random.Random) -> None:  # noqa: FBT001 - drawn
    """Whatever the borders of the chunks, people see the same."""
    subject = ShownText(plain=plain)
    parts = []
    rest = data
    while rest:
        size = chance.randint(1, 5)
        parts.append(subject.feed(rest[:size]))
        rest = rest[size:]

    assert shown(data, plain=plain) == "".join(parts) + subject.flush()


@given(st.lists(pieces, max_size=6).map(b"".join))
def test_nothing_shown_plainly_acts(data: bytes) -> None:
    """No control character but tab and line break is left, and nothing is left of invalid UTF-8."""
    text = shown(data, plain=True)

    assert [char for char in text if ord(char) < 0x20 and char not in "\n\t"] == []
    assert [char for char in text if 0x7F <= ord(char) < 0xA0] == []
    assert text.encode().decode() == text
