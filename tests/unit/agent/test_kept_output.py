"""Rules of what is kept of an output stream: exact bytes, offsets, bounded files."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.kept_output import Chunk, KeptOutput, KeptWriter
from agent.masking import Masker
from agent.process import Command
from agent.run import Run


def writer(folder: Path, kept_max: int = 1000) -> KeptWriter:
    return KeptWriter(folder, "stdout", kept_max=kept_max)


def reader(folder: Path, kept_max: int = 1000) -> KeptOutput:
    return KeptOutput(folder, "stdout", kept_max=kept_max)


def portions(data: bytes, step: int) -> Iterator[bytes]:
    return (data[start : start + step] for start in range(0, len(data), step))


def drain(sent_from: KeptOutput) -> list[Chunk]:
    """Take and acknowledge everything, as a server that takes it all."""
    chunks = []
    while not sent_from.is_done():
        chunk = sent_from.next_chunk()
        chunks.append(chunk)
        start = chunk.offset if chunk.skip_to is None else chunk.skip_to
        sent_from.acknowledge(start + len(chunk.data))
    return chunks


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 10, 23, 64, 500])
@pytest.mark.parametrize("size", [0, 1, 20, 39, 40, 41, 47, 60, 61, 500])
def test_both_ends_are_kept_whatever_the_portions(tmp_path: Path, step: int, size: int) -> None:
    """Of any stream the first and the last twenty bytes arrive, and all of it if it fits."""
    # given
    data = bytes(number % 251 for number in range(size))
    subject, sent_from = writer(tmp_path, 40), reader(tmp_path, 40)
    # when
    for portion in portions(data, step):
        subject.write(portion)
        kept = sum(path.stat().st_size for path in tmp_path.iterdir())
        assert kept <= 40 + 4 + 4, "the files are bounded, give or take a part"
    subject.close()
    sent_from.close(size)
    chunks = drain(sent_from)
    # then
    expected = data if size <= 40 else data[:20] + data[-20:]
    assert b"".join(chunk.data for chunk in chunks) == expected
    skips = [(chunk.offset, chunk.skip_to) for chunk in chunks if chunk.skip_to is not None]
    assert skips == ([(20, size - 20)] if size > 40 else [])
    assert subject.summary() == {"bytes": size, "sha256": hashlib.sha256(data).hexdigest()}


def test_the_same_chunk_comes_again_until_it_is_acknowledged(tmp_path: Path) -> None:
    """A chunk whose answer was lost is sent again, unchanged but for what has come since."""
    subject, sent_from = writer(tmp_path), reader(tmp_path)
    subject.write(b"one")
    sent_from.look()
    assert sent_from.next_chunk() == Chunk(0, None, b"one")
    subject.write(b"two")
    sent_from.look()
    assert sent_from.next_chunk() == Chunk(0, None, b"onetwo")


def test_sending_resumes_where_the_server_stands(tmp_path: Path) -> None:
    """Another reader, that of the next agent, goes on from any offset in head or tail."""
    # given
    subject, sent_from = writer(tmp_path, 20), reader(tmp_path, 20)
    subject.write(bytes(range(100)))
    subject.close()
    sent_from.close(100)
    # when, then
    sent_from.acknowledge(4)
    assert sent_from.next_chunk() == Chunk(4, None, bytes(range(4, 10)))
    sent_from.acknowledge(10)
    assert sent_from.next_chunk() == Chunk(10, 90, bytes(range(90, 92)))
    sent_from.acknowledge(95)
    assert sent_from.next_chunk() == Chunk(95, None, bytes(range(95, 96)))


def test_what_nobody_has_counted_is_what_is_there(tmp_path: Path) -> None:
    """Without an end that somebody saw, the files themselves say how far the stream came."""
    subject, sent_from = writer(tmp_path, 20), reader(tmp_path, 20)
    subject.write(bytes(range(57)))
    sent_from.close(None)
    chunks = drain(sent_from)
    assert sent_from.told_bytes == 57
    assert b"".join(chunk.data for chunk in chunks) == bytes([*range(10), *range(47, 57)])


def test_bytes_that_only_the_server_still_has_are_counted(tmp_path: Path) -> None:
    """After a crash that took our bytes and not the server's, the report says what it has."""
    sent_from = reader(tmp_path)
    sent_from.close(None)
    sent_from.acknowledge(7)
    assert (sent_from.is_done(), sent_from.told_bytes) == (True, 7)


def test_a_disk_that_takes_no_more_costs_the_rest_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept before is sent, the rest is one range left out; length and digest are true."""
    # given
    subject, sent_from = writer(tmp_path, 20), reader(tmp_path, 20)
    data = bytes(range(60))
    subject.write(data[:30])

    def full(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    # when
    monkeypatch.setattr("agent.kept_output.os.write", full)
    subject.write(data[30:40])
    monkeypatch.undo()
    subject.write(data[40:])
    subject.close()
    sent_from.close(60)
    # then
    assert drain(sent_from) == [Chunk(0, None, data[:10]), Chunk(10, 60, b"")]
    assert subject.summary() == {"bytes": 60, "sha256": hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize("before_the_end", [True, False])
def test_refused_output_is_reported_as_left_out(tmp_path: Path, *, before_the_end: bool) -> None:
    """After a refusal everything that is not there yet is one omitted range."""
    # given
    subject, sent_from = writer(tmp_path), reader(tmp_path)
    subject.write(b"x" * 10)
    sent_from.look()
    sent_from.acknowledge(4)
    # when
    if before_the_end:
        sent_from.discard()
    subject.write(b"y" * 1500)
    subject.close()
    sent_from.close(1510)
    sent_from.discard()
    # then
    assert drain(sent_from) == [Chunk(4, 1510, b"")]


def test_small_output_falls_due_soon_and_large_output_at_once(tmp_path: Path) -> None:
    """A few bytes wait for company, but never longer than the flush period; 64 KiB do not wait."""
    subject, sent_from = writer(tmp_path, 10**6), reader(tmp_path, 10**6)
    sent_from.look()
    assert sent_from.due_at() is None
    subject.write(b"a")
    sent_from.look()
    sent_from.next_chunk()
    sent_from.acknowledge(1)
    subject.write(b"b")
    sent_from.look()
    due = sent_from.due_at()
    assert due is not None
    assert due > 0.0
    subject.write(b"c" * 65536)
    sent_from.look()
    assert sent_from.due_at() == 0.0


class Stars(Masker):
    """Masks the letter x, and holds back the last byte until it sees the next."""

    def __init__(self) -> None:
        super().__init__(())

    def feed(self, data: bytes) -> bytes:
        """Return all but the last byte."""
        whole = self._held + data
        self._held = whole[-1:]
        return self._without(whole[:-1])

    def flush(self) -> bytes:
        """Return the last byte."""
        return self._without(self._held)

    def text(self, value: str) -> str:
        """Mask a text."""
        return value.replace("x", "*")

    def _without(self, data: bytes) -> bytes:
        self.masked += data.count(b"x")
        return data.replace(b"x", b"*")


def test_what_is_masked_never_reaches_a_file(tmp_path: Path) -> None:
    """Offsets, length and digest are those of the masked stream, with the part held back."""
    subject = KeptWriter(tmp_path, "stdout", masker=Stars())
    subject.write(b"ax")
    subject.write(b"bx")
    assert (tmp_path / "stdout.0").read_bytes() == b"a*b"
    subject.close()
    assert (tmp_path / "stdout.0").read_bytes() == b"a*b*"
    assert subject.summary() == {"bytes": 4, "sha256": hashlib.sha256(b"a*b*").hexdigest()}


class Faulty(Stars):
    """Has a fault that shows at the letter q."""

    def feed(self, data: bytes) -> bytes:
        """Return what it was given, or fail."""
        if b"q" in data:
            raise IndexError(data)
        return data


def test_a_fault_in_masking_costs_the_rest_of_the_output_only(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The command writes on; what nobody has masked is counted, but neither kept nor hashed."""
    # given
    run = Run(
        Command("echo q; head -c 300000 /dev/zero && exit 3"),
        (KeptWriter(tmp_path, "stdout", masker=Faulty()), KeptWriter(tmp_path, "stderr")),
        timeout_seconds=None,
    )
    # when
    ending = run.carry_out()
    # then
    assert ending.exit_code == 3
    assert list(tmp_path.iterdir()) == []
    assert "the rest of stdout is not kept: masking failed (IndexError)" in capfd.readouterr().err


def test_what_could_not_be_masked_is_counted(tmp_path: Path) -> None:
    """From the fault on there is a length, and no digest."""
    subject = KeptWriter(tmp_path, "stdout", masker=Faulty())
    for data in (b"ab", b"q", b"cd"):
        subject.write(data)
    subject.close()
    assert subject.summary() == {"bytes": 5, "sha256": None}
