"""Output over HTTP: appended by offset, read back byte for byte."""

from urllib.parse import quote

import pytest

from tests.support.calls import Api, Held, Query
from tests.support.problems import check_problem

MIB = 1024 * 1024

# --------------------------------------------------------------------------------------------- logs

BAD_CHUNKS: list[tuple[Query, str]] = [
    ({"offset": 0}, "stream"),
    ({"stream": "stdin", "offset": 0}, "stream"),
    ({"stream": "stdout"}, "offset"),
    *(({"stream": "stdout", "offset": value}, "offset") for value in ("-1", "x", "1.0", 1 << 60)),
    ({"stream": "stdout", "offset": 0, "skip_to": "x"}, "skip_to"),
    ({"stream": "stdout", "offset": 0, "skip_to": -1}, "skip_to"),
    ({"stream": ["stdout", "stderr"], "offset": 0}, "stream"),
    ({"stream": "stdout", "offset": 0, "length": 5}, "length"),
]


@pytest.mark.parametrize(("query", "field"), BAD_CHUNKS)
def test_a_chunk_that_is_wrong_is_refused_by_name(api: Api, query: Query, field: str) -> None:
    """400, and no byte is kept."""
    held = api.start()
    answer = api.post(f"/{held.id}/logs", query=query, body=b"x", headers=held.headers)
    check_problem(answer, 400, field=field)
    assert api.logs(held.id) == b""


def test_a_chunk_that_is_repeated_is_accepted_once(api: Api) -> None:
    """Whole or in part, also after the end of the execution: 200 with the true next offset."""
    held = api.start()
    for data, offset, expected in (
        *((b"abcdef", 0, 6), (b"abcdef", 0, 6), (b"cdefgh", 2, 8), (b"", 8, 8), (b"ab", 0, 8)),
    ):
        assert held.append(data, offset).ok().json()["next_offset"] == expected
    assert api.logs(held.id) == b"abcdefgh"


def test_a_gap_is_refused_with_the_expected_offset(api: Api) -> None:
    """409 with the member `expected_offset`; the streams stand apart."""
    held = api.start()
    held.append(b"abc").ok()
    assert check_problem(held.append(b"x", 4), 409)["expected_offset"] == 3
    assert check_problem(held.append(b"x", 1, "stderr"), 409)["expected_offset"] == 0
    assert check_problem(held.append(b"x", 2, skip_to=9), 409)["expected_offset"] == 3
    assert check_problem(held.append(b"x", 3, skip_to=3), 409)["expected_offset"] == 3
    problem = check_problem(held.complete(outcome="exited", exit_code=0, stdout_bytes=5), 409)
    assert problem["expected_offset"] == 3
    assert api.one(held.id)["status"] == "running"


def test_bytes_that_were_left_out_are_marked(api: Api) -> None:
    """`skip_to`, once a stream: the JSON marks the cut, the raw bytes name it in a header."""
    held = api.start()
    held.append(b"head").ok()
    for _ in range(2):
        assert held.append(b"tail", 4, skip_to=1000).ok().json()["next_offset"] == 1004
    held.append(b" end", 1004).ok()
    report = {"outcome": "exited", "exit_code": 0, "stdout_bytes": 1008}
    assert held.complete(**report).ok().json()["output_truncated"]
    raw = api.get(f"/{held.id}/logs").ok()
    assert (raw.body, raw.headers["Output-Omitted"]) == (b"headtail end", "4-1000")
    whole = api.one(held.id)
    assert whole["output"].startswith("head\n")
    assert whole["output"].endswith("\ntail end")
    assert "996 bytes" in whole["output"]
    assert (whole["output_truncated"], whole["output_bytes"]) == (True, 1008)


def test_at_most_10_mib_are_kept_of_a_stream(api: Api) -> None:
    """A chunk over 1 MiB and one over the cap are a 413; the cap itself fits."""
    held = api.start()
    check_problem(held.append(b"x" * (MIB + 1)), 413)
    for number in range(10):
        held.append(b"x" * MIB, number * MIB).ok()
    check_problem(held.append(b"x", 10 * MIB), 413)
    held.append(b"", 10 * MIB).ok()
    held.append(b"x", 0, "stderr").ok()
    held.complete(outcome="exited", exit_code=0, stdout_bytes=10 * MIB).ok()
    assert len(api.logs(held.id)) == 10 * MIB


def test_no_byte_of_a_log_is_lost_or_changed(api: Api) -> None:
    """Every byte value, NUL and invalid UTF-8 in logs as written; in JSON as text."""
    held = api.start()
    data = bytes(range(256)) * 3 + b"\xff\xfe\0\0\xc3(\r\n\x1b[2J"
    held.append(data[:300]).ok()
    held.append(data[300:], 300).ok()
    held.append(b"\0\xff", stream="stderr").ok()
    held.complete(outcome="exited", exit_code=1).ok()
    assert (api.logs(held.id), api.logs(held.id, "stderr")) == (data, b"\0\xff")
    whole = api.one(held.id)
    assert whole["output"] == data.decode(errors="replace")
    assert whole["error"] == "\0\ufffd"


@pytest.fixture(scope="module")
def logged(api: Api) -> Held:
    """An ended execution that has written ten lines of three bytes, from 0 to 9."""
    held = api.start()
    held.append(b"".join(b"%d \n" % number for number in range(10))).ok()
    held.complete(outcome="exited", exit_code=0).ok()
    return held


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        *(("bytes=0-2", 0, 2), ("bytes=27-", 27, 29), ("bytes=-3", 27, 29), ("bytes=0-", 0, 29)),
        *(("bytes=29-29", 29, 29), ("bytes=5-999999", 5, 29), ("bytes=-999", 0, 29)),
    ],
)
def test_a_range_of_a_log_can_be_read(
    api: Api, logged: Held, header: str, first: int, last: int
) -> None:
    """206 with Content-Range, as RFC 9110 has it."""
    whole = api.logs(logged.id)
    answer = api.get(f"/{logged.id}/logs", headers={"Range": header}).ok(206)
    assert answer.body == whole[first : last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/30"
    assert api.get(f"/{logged.id}/logs").headers["Accept-Ranges"] == "bytes"


def test_a_range_that_is_not_there_is_416_and_one_that_is_none_400(api: Api, logged: Held) -> None:
    """Beyond the end: 416 with the size. Not a range of bytes: 400 that names the header."""
    for beyond in ("bytes=30-", "bytes=99-100", "bytes=-0"):
        answer = api.get(f"/{logged.id}/logs", headers={"Range": beyond})
        check_problem(answer, 416)
        assert answer.headers["Content-Range"] == "bytes */30"
    for none in ("bytes=-", "lines=0-1", "bytes=a-b", "bytes=0-1,4-5", "bytes=2-1x"):
        check_problem(api.get(f"/{logged.id}/logs", headers={"Range": none}), 400, field="Range")
    empty = api.get(f"/{api.create()['id']}/logs", headers={"Range": "bytes=0-"})
    check_problem(empty, 416)


@pytest.mark.parametrize(
    ("tail", "expected"), [(0, b""), (1, b"9 \n"), (3, b"7 \n8 \n9 \n"), (10, None), (99, None)]
)
def test_the_last_lines_of_a_log_can_be_read(
    api: Api, logged: Held, tail: int, expected: bytes | None
) -> None:
    """`tail` counts lines from the end."""
    answer = api.get(f"/{logged.id}/logs", {"tail": tail}).ok()
    assert answer.body == (api.logs(logged.id) if expected is None else expected)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(({"stream": value}, "stream") for value in ("stdin", "", "STDOUT")),
        *(({"tail": value}, "tail") for value in ("-1", "x", "1.5", "1000001", "")),
        ({"follow": "maybe"}, "follow"),
    ],
)
def test_reading_a_log_wrongly_is_refused_by_name(
    api: Api, logged: Held, query: Query, field: str
) -> None:
    """400 with the field."""
    check_problem(api.get(f"/{logged.id}/logs", query), 400, field=field)


def test_ids_in_links_survive_quoting(api: Api) -> None:
    """Percent-encoded, an id is the same id."""
    made = api.create()["id"]
    assert api.get("/" + quote(made).replace("exec", "%65xec")).ok().json()["id"] == made


def test_only_the_same_cut_is_a_repeat(api: Api) -> None:
    """A second `skip_to` with other numbers is a gap that names where the stream goes on."""
    held = api.start()
    held.append(b"head").ok()
    held.append(b"tail", 4, skip_to=1000).ok()
    for offset, skip_to in ((1004, 2000), (4, 900), (3, 1000)):
        answer = held.append(b"x", offset, skip_to=skip_to)
        assert check_problem(answer, 409)["expected_offset"] == 1004
    assert api.logs(held.id) == b"headtail"


def test_a_chunk_far_before_the_end_is_a_repeat(api: Api) -> None:
    """Offsets beyond four billion bytes are offsets like all others."""
    held = api.start()
    end = (1 << 40) + 1
    assert held.append(b"x", 0, skip_to=1 << 40).ok().json()["next_offset"] == end
    assert held.append(b"abc", 0).ok().json()["next_offset"] == end
    held.complete(outcome="exited", exit_code=0, stdout_bytes=end).ok()


def test_nothing_is_added_after_the_agents_own_report(api: Api) -> None:
    """A repeat is still a 200; bytes that nobody would be shown are a 409 `lease_lost`."""
    held = api.start()
    held.append(b"abc").ok()
    held.complete(outcome="exited", exit_code=0, stdout_bytes=3).ok()
    assert held.append(b"abc").ok().json()["next_offset"] == 3
    for late in (held.append(b"abcd"), held.append(b"x", 3), held.append(b"x", stream="stderr")):
        check_problem(late, 409, code="lease_lost")
    check_problem(held.append(b"", 3, skip_to=9), 409, code="lease_lost")
    assert api.logs(held.id) == b"abc"


def test_output_of_which_nothing_was_kept_is_told_of(api: Api) -> None:
    """The event says what was written, what was left out, and the agent's own digest."""
    held = api.start()
    held.append(b"", 0, skip_to=50).ok()
    digest = "ab" * 32
    report = {"outcome": "exited", "exit_code": 0, "stdout_bytes": 50, "stdout_sha256": digest}
    for _ in range(2):
        held.complete(**report).ok()
    said = api.events(held.id)[-1]["data"]["ending"]["stdout"]
    assert (said["written_bytes"], said["kept_bytes"], said["kept_sha256"]) == (50, 0, "")
    assert (said["omitted"], said["written_sha256"]) == ([0, 50], digest)
