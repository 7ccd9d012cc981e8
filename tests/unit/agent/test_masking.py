"""Rules of masking: what is replaced, what is held back, what is refused."""

import base64
from urllib.parse import quote, quote_plus

import pytest

from agent.mask_patterns import PATTERN_BYTES_MAX, UnusablePatternError
from agent.masking import Masker

SECRET = b"s3cr3t pass/word?"


def masked(data: bytes, *secrets: bytes, patterns: tuple[bytes, ...] = ()) -> bytes:
    subject = Masker(secrets or (SECRET,), patterns)
    return subject.feed(data) + subject.flush()


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET).encode(),
        quote(SECRET, safe="").encode(),
        quote_plus(SECRET).encode(),
        quote(SECRET, safe="").lower().encode(),
        b"".join(b"%%%02x" % byte for byte in SECRET),
        b"".join(b"%%%02X" % byte for byte in SECRET),
        b"s3cr3t%20pass/wor%64?",
        SECRET.replace(b" ", b"+"),
    ],
)
def test_each_way_to_write_a_secret_is_masked(form: bytes) -> None:
    """As it is, or with any of its characters URL-encoded."""
    assert masked(b"<" + form + b">") == b"<[masked]>"


@pytest.mark.parametrize("before", [b"", b"u", b"us", b"user:"])
@pytest.mark.parametrize("after", [b"", b"@", b"@h", b"@ho"])
def test_base64_is_masked_at_each_alignment(before: bytes, after: bytes) -> None:
    """In both alphabets, whatever stands before and after within the encoded text."""
    secret = b"\xfb\xff?>>??pass"
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(before + secret + after)
        for text in (encoded, encoded.rstrip(b"=")):
            shown = masked(text, secret)
            assert shown.count(b"[masked]") == 1
            # All that is left are the characters that hold bits of what stands around.
            left, right = shown.split(b"[masked]")
            assert len(left) == -(-len(before) * 8 // 6)
            assert len(right.rstrip(b"=")) <= -(-len(after) * 8 // 6)


def test_base64_in_lines_is_masked() -> None:
    """As `base64` writes it, 76 characters to a line."""
    encoded = base64.encodebytes(b"x" * 40 + b"s3cr3t" * 10 + b"y" * 40)
    shown = masked(encoded, b"s3cr3t" * 10)
    assert shown.count(b"[masked]") == 1
    assert len(shown) < len(encoded) - 70


def test_a_secret_of_many_lines_is_masked_as_a_whole_and_line_by_line() -> None:
    """A terminal writes its line breaks otherwise, and programs show single lines."""
    secret = b"first line\r\nab\nlast line \n"
    assert masked(b"first line\r\nab\r\nlast line \r\n", secret) == b"[masked]"
    assert masked(b"-first line-last line-ab-", secret) == b"-[masked]-[masked]-ab-"
    assert masked(quote("first line\nab\nlast line \n").encode(), secret) == b"[masked]"


def test_a_long_secret_is_masked_entirely() -> None:
    """Also one that is looked for in pieces."""
    secret = bytes(33 + number * 7 % 90 for number in range(3001))
    assert masked(b"<" + secret + b">", secret) == b"<[masked]>"
    encoded = base64.b64encode(b"x" + secret + b"x")
    assert len(masked(encoded, secret)) <= len(b"..[masked]..==")


@pytest.mark.parametrize(
    ("data", "secrets", "expected"),
    [
        (b"-abcdefgh-", (b"abcdef", b"abcdefgh"), b"-[masked]-"),
        (b"-abcdefghi-", (b"abcdef", b"defghi"), b"-[masked]-"),
        (b"-abcdefabcdef-", (b"abcdef",), b"-[masked][masked]-"),
        (b"-aaaaaaaaa-", (b"aaaaaa",), b"-[masked]-"),
        (b"-%41bcdefgh-", (b"Abcdefgh", b"%41bcdef"), b"-[masked]-"),
    ],
)
def test_overlapping_secrets_are_covered_entirely(
    data: bytes, secrets: tuple[bytes, ...], expected: bytes
) -> None:
    """The longest form counts; nothing of any is left beside the mask."""
    assert masked(data, *secrets) == expected
    assert masked(data, *reversed(secrets)) == expected
    subject = Masker(secrets)
    pieces = [subject.feed(data[at : at + 1]) for at in range(len(data))]
    assert b"".join(pieces) + subject.flush() == expected
    assert subject.masked == expected.count(b"[masked]")


def test_short_values_are_not_masked() -> None:
    """A value of five bytes would be found everywhere; six bytes are masked."""
    assert masked(b"12345 123456", b"12345", b"", b"123456") == b"12345 [masked]"


def test_only_what_could_be_a_beginning_is_held_back() -> None:
    """A prompt is shown at once, also one that begins as the secret does."""
    subject = Masker([b"password123"])
    assert subject.feed(b"password: ") == b"password: "
    assert subject.feed(b"your passw") == b"your "
    assert subject.feed(b"ord: ") == b"password: "
    assert subject.feed(b"x%7") == b"x"
    assert subject.feed(b"0%6") == b""
    assert subject.feed(b"2\n") == b"%70%62\n"
    assert subject.feed(b"password123") == b"[masked]"
    assert subject.flush() == b""


def test_what_is_held_back_is_bounded() -> None:
    """A long beginning never grows beyond the longest form."""
    secret = b"ab" * 50
    subject = Masker([secret], [b"x{1,50}y"])
    for _ in range(200):
        subject.feed(b"abababab")
        assert len(subject._held) < 3 * len(secret)
    for _ in range(200):
        subject.feed(b"xxxxxxxx")
        assert len(subject._held) <= 3 * len(secret)


def test_without_secrets_everything_passes() -> None:
    """No secret, no change, nothing held back."""
    data = bytes(range(256))
    subject = Masker([])
    assert subject.feed(data) == data
    assert subject.masked == 0


@pytest.mark.parametrize(
    ("pattern", "data", "expected"),
    [
        (rb"tok_[a-z]{1,20}", b"a tok_abc b", b"a [masked] b"),
        (rb"(?i)key=(\d{4}|none)", b"KEY=1234 key=NONE key=no", b"[masked] [masked] key=no"),
        (rb"[^\s,]{3}x{1,3}?", b"abcx, dx", b"[masked], dx"),
        (rb"(?s:a.b)", b"a\nb", b"[masked]"),
        (rb"[^a-y\d]?[\x00\xff-]q", b"\xffq zq -q", b"[masked] zq[masked]"),
    ],
)
def test_matches_of_patterns_are_masked(pattern: bytes, data: bytes, expected: bytes) -> None:
    """Across the borders of chunks as in one piece."""
    assert masked(data, b"unrelated", patterns=(pattern,)) == expected
    subject = Masker([b"unrelated"], [pattern])
    pieces = [subject.feed(data[at : at + 1]) for at in range(len(data))]
    assert b"".join(pieces) + subject.flush() == expected


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (b"a+", "upper bound"),
        (b"a{5000}", str(PATTERN_BYTES_MAX)),
        (b"a?", "nothing stands"),
        (b"", "nothing stands"),
        (b"(a", "no regular expression"),
        (b"^a", "looks around"),
        (rb"a\b", "looks around"),
        (b"a(?=b)", "looks around"),
        (b"(?<!b)a", "looks around"),
        (rb"(a)\1", "reference"),
        (b"(?L)a", "locale"),
    ],
)
def test_patterns_that_a_stream_cannot_hold_are_refused(pattern: bytes, reason: str) -> None:
    """With a sentence that says why."""
    with pytest.raises(UnusablePatternError, match=reason):
        Masker([], [pattern])


def test_a_text_is_masked_beside_the_stream() -> None:
    """An error sentence, with whatever a file name may hold; the stream goes on untouched."""
    subject = Masker([b"s3cr3t\xff"])
    assert subject.feed(b"s3cr3t") == b""
    assert (
        subject.text("no é s3cr3t\udcff \udc80\ud800")
        == "no é [masked] \udc80\N{REPLACEMENT CHARACTER}"
    )
    assert subject.feed(b"\xff!") == b"[masked]!"
    assert subject.masked == 2
