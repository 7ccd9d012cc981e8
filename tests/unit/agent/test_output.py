"""Rules of one output stream: exact bytes, offsets, bounded memory."""

import hashlib
import threading

import pytest

from agent.output import Chunk, OutputStream, TailRing


def stream(kept_max: int = 1000, unsent_max: int = 1000) -> OutputStream:
    return OutputStream("stdout", threading.Condition(), kept_max=kept_max, unsent_max=unsent_max)


def drain(sent_from: OutputStream) -> list[Chunk]:
    """Take and acknowledge everything, as a server that takes it all."""
    chunks = []
    while not sent_from.is_done():
        chunk = sent_from.next_chunk()
        chunks.append(chunk)
        start = chunk.offset if chunk.skip_to is None else chunk.skip_to
        sent_from.acknowledge(start + len(chunk.data))
    return chunks


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 10, 23])
def test_a_ring_holds_the_last_bytes_whatever_their_portions(step: int) -> None:
    """A ring of ten shows the last ten bytes after any number of writes of any size."""
    ring = TailRing(10)
    written = b""
    for number in range(40):
        portion = bytes((number * step + index) % 256 for index in range(step))
        ring.write(portion)
        written += portion
        held = written[-10:]
        assert len(ring) == len(held)
        for start in range(len(held) + 1):
            assert held[start : start + 4] == ring.read(start, 4)


def test_all_bytes_arrive_unchanged_when_they_fit() -> None:
    """NUL, invalid UTF-8 and the border between head and tail change nothing."""
    # given
    data = bytes(range(256)) * 3 + b"\0\xff\xfe"
    subject = stream(kept_max=1000)
    # when
    for start in range(0, len(data), 7):
        subject.write(data[start : start + 7])
    subject.close()
    chunks = drain(subject)
    # then
    assert data == b"".join(chunk.data for chunk in chunks)
    assert all(chunk.skip_to is None for chunk in chunks)
    assert hashlib.sha256(data).hexdigest() == subject.sha256()
    assert len(data) == subject.size


def test_head_and_tail_are_kept_and_the_cut_is_named() -> None:
    """Over the cap, first and last half arrive, and one chunk says what is left out."""
    # given
    data = bytes(number % 251 for number in range(5000))
    subject = stream(kept_max=1000)
    # when
    for start in range(0, len(data), 333):
        subject.write(data[start : start + 333])
    subject.close()
    chunks = drain(subject)
    # then
    assert data[:500] + data[-500:] == b"".join(chunk.data for chunk in chunks)
    assert [(chunk.offset, chunk.skip_to) for chunk in chunks if chunk.skip_to is not None] == [
        (500, 4500)
    ]
    assert hashlib.sha256(data).hexdigest() == subject.sha256()


def test_the_same_chunk_comes_again_until_it_is_acknowledged() -> None:
    """A chunk whose answer was lost is sent again, unchanged but for what has come since."""
    subject = stream()
    subject.write(b"one")
    first = subject.next_chunk()
    subject.write(b"two")
    assert Chunk(0, None, b"one") == first
    assert Chunk(0, None, b"onetwo") == subject.next_chunk()


def test_sending_resumes_where_the_server_stands() -> None:
    """An acknowledged offset between the chunks' borders is gone on from exactly."""
    subject = stream()
    subject.write(b"0123456789")
    subject.acknowledge(4)
    assert Chunk(4, None, b"456789") == subject.next_chunk()


def test_the_tail_can_be_sent_again_from_any_offset() -> None:
    """Bytes of the tail stay available until the server has them all."""
    # given
    subject = stream(kept_max=20)
    subject.write(bytes(range(100)))
    subject.close()
    subject.acknowledge(10)
    assert Chunk(10, 90, bytes(range(90, 100))) == subject.next_chunk()
    # when
    subject.acknowledge(95)
    # then
    assert Chunk(95, None, bytes(range(95, 100))) == subject.next_chunk()


def test_a_full_buffer_holds_the_writer_until_bytes_are_sent() -> None:
    """Back-pressure: a write waits while too much is unsent, and goes on when it is sent."""
    # given
    subject = stream(kept_max=1000, unsent_max=10)
    subject.write(b"x" * 10)
    written = threading.Event()

    def write() -> None:
        subject.write(b"y")
        written.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert not written.wait(0.05)
    # when
    subject.acknowledge(10)
    # then
    assert written.wait(10)
    writer.join()
    assert Chunk(10, None, b"y") == subject.next_chunk()


def test_memory_stays_bounded_when_nobody_sends_the_tail() -> None:
    """A hundred times the cap leaves no more than the cap in memory."""
    subject = stream(kept_max=1000)
    for _ in range(1000):
        subject.write(b"z" * 100)
    assert len(subject._unsent) + len(subject._tail) <= 1000


def test_discarded_output_is_reported_as_left_out() -> None:
    """After a refusal everything not yet there is one omitted range, and nobody waits."""
    # given
    subject = stream(kept_max=1000, unsent_max=10)
    subject.write(b"x" * 10)
    subject.acknowledge(4)
    # when
    subject.discard()
    subject.write(b"y" * 500)
    subject.close()
    # then
    assert [Chunk(4, 510, b"")] == drain(subject)
    assert hashlib.sha256(b"x" * 10 + b"y" * 500).hexdigest() == subject.sha256()


def test_small_output_falls_due_soon_and_large_output_at_once() -> None:
    """A few bytes wait for company, but never longer than the flush period; 64 KiB do not wait."""
    subject = stream(kept_max=10**6, unsent_max=10**6)
    assert subject.due_at() is None
    subject.write(b"a")
    subject.next_chunk()
    subject.acknowledge(1)
    subject.write(b"b")
    due = subject.due_at()
    assert due is not None
    assert due > 0.0
    subject.write(b"c" * 65536)
    assert subject.due_at() == 0.0
