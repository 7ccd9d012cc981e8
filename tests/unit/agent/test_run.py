"""Rules of reading a real command's output to its end."""

import hashlib
import os
import threading

from agent.process import CANCELED, Command
from agent.run import Outputs, Run

DEADLINE_SECONDS = 20.0
MIB = 1024 * 1024


def kept(outputs: Outputs) -> tuple[bytes, bytes]:
    """Take what a server would get of both streams."""
    texts = []
    for stream in outputs.both:
        data = b""
        while not stream.is_done():
            chunk = stream.next_chunk()
            data += chunk.data
            stream.acknowledge((chunk.skip_to or chunk.offset) + len(chunk.data))
        texts.append(data)
    return texts[0], texts[1]


def run(line: str, outputs: Outputs, timeout_seconds: float | None = None) -> Run:
    return Run(Command(line), outputs, timeout_seconds=timeout_seconds, grace_seconds=1)


def test_both_streams_are_read_byte_for_byte() -> None:
    """NUL and invalid UTF-8 pass, and stdout and stderr stay apart."""
    outputs = Outputs()
    run(r"printf 'a\000\377b'; printf 'err\200' >&2", outputs).carry_out()
    assert kept(outputs) == (b"a\0\xffb", b"err\x80")


def test_large_output_is_hashed_whole_and_kept_in_part() -> None:
    """Three MiB against a cap of one: the digest covers all, the kept bytes are both ends."""
    # given
    outputs = Outputs(kept_max=MIB, unsent_max=2 * MIB)
    # when
    run("yes 0123456 | head -c 3145728", outputs).carry_out()
    # then
    written = b"0123456\n" * (3 * MIB // 8)
    assert len(written) == outputs.stdout.size
    assert hashlib.sha256(written).hexdigest() == outputs.stdout.sha256()
    assert written[: MIB // 2] + written[-MIB // 2 :] == kept(outputs)[0]


def test_a_child_in_the_background_does_not_hold_up_the_outcome() -> None:
    """The pipe is left after a short time when only a background child still holds it."""
    outputs = Outputs()
    ending = run("sleep 60 & echo $!", outputs).carry_out()
    out, _ = kept(outputs)
    os.kill(int(out), 9)
    assert (ending.exit_code, ending.outcome) == (0, "exited")


def test_a_child_that_writes_for_ever_does_not_hold_up_the_outcome() -> None:
    """What the command itself wrote is all there, however much a background child adds."""
    outputs = Outputs(kept_max=MIB, unsent_max=MIB)
    ending = run("echo mine; yes & exit 4", outputs).carry_out()
    assert ending.exit_code == 4
    assert kept(outputs)[0].startswith(b"mine\n")


def test_all_that_was_in_the_pipe_is_read_after_the_end() -> None:
    """Bytes still in the pipe when the command ends are not lost to back-pressure."""
    # given: a buffer so small that the reader stands still when the command ends
    outputs = Outputs(kept_max=4 * MIB, unsent_max=1)
    done = threading.Event()

    def carry_out() -> None:
        run("head -c 60000 /dev/zero; echo end", outputs).carry_out()
        done.set()

    worker = threading.Thread(target=carry_out)
    worker.start()
    # when: the server takes its time, longer than a drain would wait for a silent pipe
    assert not done.wait(1.5) or outputs.stdout.size == 60004
    data = b""
    with outputs.changed:
        while not outputs.stdout.is_done():
            if outputs.stdout.due_at() is None:
                assert outputs.changed.wait(DEADLINE_SECONDS)
                continue
            chunk = outputs.stdout.next_chunk()
            data += chunk.data
            outputs.stdout.acknowledge(chunk.offset + len(chunk.data))
    worker.join()
    # then
    assert data == b"\0" * 60000 + b"end\n"


def test_a_request_before_the_start_is_carried_out_after_it() -> None:
    """A cancel that comes while the process is being made is not forgotten."""
    subject = run("sleep 60", Outputs())
    subject.end(CANCELED)
    assert subject.carry_out().outcome == "canceled"


def test_a_command_that_cannot_start_has_an_ending_and_closed_streams() -> None:
    """No process, no bytes, an outcome with its sentence."""
    outputs = Outputs()
    subject = Run(Command(["/no/such/program"]), outputs, timeout_seconds=None)
    ending = subject.carry_out()
    assert (
        ending.exit_code,
        ending.failure_reason,
        ending.error,
    ) == (127, "spawn_failed", "/no/such/program: not found")
    assert all(stream.is_done() for stream in outputs.both)


def test_output_is_copied_unchanged() -> None:
    """`exec` passes the bytes on while it keeps them."""
    reading, writing = os.pipe()
    outputs = Outputs()
    subject = Run(
        Command(r"printf 'a\000\377'"), outputs, timeout_seconds=None, copy_to=(writing, writing)
    )
    subject.carry_out()
    os.close(writing)
    assert os.read(reading, 100) == b"a\0\xff" == kept(outputs)[0]
    os.close(reading)


def test_a_reader_that_goes_away_ends_the_command_like_a_closed_pipe() -> None:
    """`exec … | head` ends the command with SIGPIPE, as without us between."""
    reading, writing = os.pipe()
    os.close(reading)
    outputs = Outputs()
    subject = Run(Command(["yes"]), outputs, timeout_seconds=20, copy_to=(writing, 2))
    ending = subject.carry_out()
    os.close(writing)
    assert (ending.outcome, ending.signal) == ("exited", 13)
