"""What an answer need not say twice, and what it can say in fewer bytes."""

import gzip
import io
import json

import pytest
import zstandard

from tests.support.calls import Api, fresh


def read(content: bytes, coding: str | None) -> bytes:
    """The content without its coding."""
    if coding == "zstd":
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)).read()
    return gzip.decompress(content) if coding == "gzip" else content


def test_an_execution_that_has_ended_is_sent_once(api: Api) -> None:
    """Its ETag comes with it; who sends it back gets 304 and no body, until something changes."""
    failed = api.brought_to("failed")
    first = api.get(f"/{failed['id']}").ok()
    tag = first.headers["ETag"]
    for said in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = api.get(f"/{failed['id']}", headers={"If-None-Match": said}).ok(304)
        assert again.body == b""
        assert again.headers["ETag"].removeprefix("W/") == tag
    assert api.get(f"/{failed['id']}", headers={"If-None-Match": '"other"'}).ok().body == first.body
    api.post(f"/{failed['id']}/retry").ok(201)
    changed = api.get(f"/{failed['id']}", headers={"If-None-Match": tag}).ok()
    assert changed.json()["retried_as"] is not None
    assert changed.headers["ETag"] != tag


@pytest.mark.parametrize("status", ["pending", "running"])
def test_what_still_changes_has_no_tag(api: Api, status: str) -> None:
    """How long it has been running changes with every look: nothing is said to be the same."""
    one = api.brought_to(status)
    looked = api.get(f"/{one['id']}", headers={"If-None-Match": "*"}).ok()
    assert looked.headers["ETag"] is None


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("zstd", "zstd"),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1, zstd;q=0.5", "gzip"),
        ("*", "zstd"),
        ("zstd;q=0, *", "gzip"),
        ("identity", None),
        ("br", None),
        ("gzip;q=0", None),
        ("gzip;q=never", None),
        ("", None),
    ],
)
def test_a_long_answer_comes_in_the_coding_that_is_liked_best(
    api: Api, accept: str, coding: str | None
) -> None:
    """Zstd or gzip for who accepts it; the answer says so, and that it depends on that."""
    job = fresh("coded")
    for _ in range(3):
        api.create(job_id=job)
    plain = api.get("", {"job_id": job}).ok()
    coded = api.get("", {"job_id": job}, headers={"Accept-Encoding": accept}).ok()
    assert coded.headers["Content-Encoding"] == coding
    assert coded.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert read(coded.body, coding) == plain.body
    assert coding is None or len(coded.body) < len(plain.body)
    assert json.loads(plain.body)["pagination"]["total"] == 3


def test_another_coding_is_another_representation(api: Api) -> None:
    """Its ETag is another one, and either tells that nothing has changed."""
    held = api.start()
    held.complete(outcome="exited", exit_code=0, output="one line\n" * 40_000).ok()
    plain = api.get(f"/{held.id}").ok()
    coded = api.get(f"/{held.id}", headers={"Accept-Encoding": "zstd"}).ok()
    assert read(coded.body, "zstd") == plain.body
    assert coded.headers["ETag"] != plain.headers["ETag"]
    for tag in (plain.headers["ETag"], coded.headers["ETag"]):
        api.get(f"/{held.id}", headers={"If-None-Match": tag}).ok(304)


def test_short_answers_and_raw_bytes_stay_as_they_are(api: Api) -> None:
    """A small answer gains nothing, and a range of bytes is a range of the output's bytes."""
    held = api.start()
    held.append(b"x" * 5000).ok()
    held.complete(outcome="exited", exit_code=0, stdout_bytes=5000).ok()
    accept = {"Accept-Encoding": "gzip, zstd"}
    for path in (f"/{held.id}/logs", "/missed"):
        assert api.get(path, headers=accept).ok().headers["Content-Encoding"] is None
    part = api.get(f"/{held.id}/logs", headers={**accept, "Range": "bytes=0-9"}).ok(206)
    assert part.body == b"x" * 10
