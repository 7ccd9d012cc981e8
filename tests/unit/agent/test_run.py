"""Rules of reading a real command's output to its end."""

import hashlib
import os
from pathlib import Path

import pytest

from agent.kept_output import KeptOutput, KeptWriter
from agent.process import CANCELED, Command
from agent.run import Run, ending_document

MIB = 1024 * 1024


class Kept:
    """The two streams of a run, in files."""

    def __init__(self, folder: Path, kept_max: int = 10 * MIB) -> None:
        self._folder = folder
        self._kept_max = kept_max
        self.stdout = KeptWriter(folder, "stdout", kept_max=kept_max)
        self.stderr = KeptWriter(folder, "stderr", kept_max=kept_max)
        self.both = (self.stdout, self.stderr)

    def read(self, stream: KeptWriter) -> bytes:
        """Take what a server would get of a stream."""
        sent_from = KeptOutput(self._folder, stream.name, kept_max=self._kept_max)
        sent_from.close(stream.size)
        data = b""
        while not sent_from.is_done():
            chunk = sent_from.next_chunk()
            data += chunk.data
            sent_from.acknowledge((chunk.skip_to or chunk.offset) + len(chunk.data))
        return data


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def run(line: str, kept: Kept, timeout_seconds: float | None = None) -> Run:
    return Run(Command(line), kept.both, timeout_seconds=timeout_seconds, grace_seconds=1)


def test_both_streams_are_read_byte_for_byte(kept: Kept) -> None:
    """NUL and invalid UTF-8 pass, and stdout and stderr stay apart."""
    run(r"printf 'a\000\377b'; printf 'err\200' >&2", kept).carry_out()
    assert (kept.read(kept.stdout), kept.read(kept.stderr)) == (b"a\0\xffb", b"err\x80")


def test_large_output_is_hashed_whole_and_kept_in_part(tmp_path: Path) -> None:
    """Three MiB against a cap of one: the digest covers all, the kept bytes are both ends."""
    # given
    kept = Kept(tmp_path, MIB)
    # when
    ending = run("yes 0123456 | head -c 3145728", kept).carry_out()
    # then
    written = b"0123456\n" * (3 * MIB // 8)
    told = {"bytes": len(written), "sha256": hashlib.sha256(written).hexdigest()}
    assert ending_document(ending, kept.both)["streams"] == {
        "stdout": told,
        "stderr": {"bytes": 0, "sha256": hashlib.sha256().hexdigest()},
    }
    assert kept.read(kept.stdout) == written[: MIB // 2] + written[-MIB // 2 :]


def test_a_child_in_the_background_does_not_hold_up_the_outcome(kept: Kept) -> None:
    """The pipe is left after a short time when only a background child still holds it."""
    ending = run("sleep 60 & echo $!", kept).carry_out()
    os.kill(int(kept.read(kept.stdout)), 9)
    assert (ending.exit_code, ending.outcome) == (0, "exited")


def test_a_child_that_writes_for_ever_does_not_hold_up_the_outcome(tmp_path: Path) -> None:
    """What the command itself wrote is all there, however much a background child adds."""
    kept = Kept(tmp_path, MIB)
    ending = run("echo mine; yes & exit 4", kept).carry_out()
    assert ending.exit_code == 4
    assert kept.read(kept.stdout).startswith(b"mine\n")


def test_a_request_before_the_start_is_carried_out_after_it(kept: Kept) -> None:
    """A cancel that comes while the process is being made is not forgotten."""
    subject = run("sleep 60", kept)
    subject.end(CANCELED)
    assert subject.carry_out().outcome == "canceled"


def test_a_command_that_cannot_start_has_an_ending_and_no_output(kept: Kept) -> None:
    """No process, no bytes, an outcome with its sentence."""
    ending = Run(Command(["/no/such/program"]), kept.both, timeout_seconds=None).carry_out()
    assert (
        ending.exit_code,
        ending.failure_reason,
        ending.error,
    ) == (127, "spawn_failed", "/no/such/program: not found")
    assert (kept.read(kept.stdout), kept.read(kept.stderr)) == (b"", b"")


def test_output_is_copied_unchanged(kept: Kept) -> None:
    """`exec` passes the bytes on while it keeps them."""
    reading, writing = os.pipe()
    subject = Run(
        Command(r"printf 'a\000\377'"),
        kept.both,
        timeout_seconds=None,
        copy_to=(writing, writing),
    )
    subject.carry_out()
    os.close(writing)
    assert os.read(reading, 100) == b"a\0\xff" == kept.read(kept.stdout)
    os.close(reading)


def test_a_reader_that_goes_away_ends_the_command_like_a_closed_pipe(kept: Kept) -> None:
    """`exec … | head` ends the command with SIGPIPE, as without us between."""
    reading, writing = os.pipe()
    os.close(reading)
    subject = Run(Command(["yes"]), kept.both, timeout_seconds=20, copy_to=(writing, 2))
    ending = subject.carry_out()
    os.close(writing)
    assert (ending.outcome, ending.signal) == ("exited", 13)
