"""`cronledger exec`: runs a command here, as if it stood there alone, and records the run.

The command comes first: whatever happens to the recording, it runs, and its output, exit code and
signals pass through. One line on standard error says so when a run is not recorded.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from agent.client import Client, Problem, Unreachable
from agent.lease import EXECUTIONS, Lease
from agent.output import KEPT_BYTES_MAX
from agent.process import CANCELED, TIMED_OUT, Command, Ending
from agent.recording import Recording
from agent.run import Outputs, Run
from cli.arguments import at_least
from cli.connection import NoTokenError, open_client
from cli.usage import UsageError

TIMEOUT_EXIT = 124
UNKNOWN_EXIT = 125  # nobody saw how it ended: it survived SIGKILL
CREATE_SECONDS = 5.0
FINISH_SECONDS = 10.0
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.usage = "cronledger exec [-h] --job NAME [options] -- COMMAND [ARGUMENT ...]"
    parser.add_argument("--job", metavar="NAME", required=True, help="the job's name in the ledger")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=at_least(1),
        help="end the command after this time, with exit code 124 (default: never)",
    )
    parser.add_argument(
        "--agent-id",
        metavar="ID",
        default=socket.gethostname(),
        help="the name to record as who ran it (default: this host's name, %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    if not args.command_line:
        raise UsageError(
            "exec needs the command after `--`: cronledger exec --job NAME -- COMMAND ..."
        )
    # In memory up to what is kept anyway: a slow server must not hold the command back.
    outputs = Outputs(unsent_max=KEPT_BYTES_MAX)
    running = Run(
        Command(args.command_line, callers_files=True),
        outputs,
        timeout_seconds=args.timeout,
        copy_to=(1, 2),
    )
    _forward_signals(running)
    recording = _recording(args, running, outputs)
    if recording is None:
        outputs.discard()
    else:
        recording.start()
    ending = running.carry_out()
    if ending.failure_reason == "spawn_failed":
        print(f"cronledger: {ending.error}", file=sys.stderr)
    if recording is not None:
        _finish(recording, ending)
    return _exit_code(ending)


def _forward_signals(running: Run) -> None:
    def forward(number: int, _frame: FrameType | None) -> None:
        running.send_signal(number)

    for number in _FORWARDED:
        # What our caller ignores (nohup) the command ignores too, by inheritance.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, forward)


def _recording(args: argparse.Namespace, running: Run, outputs: Outputs) -> Recording | None:
    """Create the execution with our lease on it; None, after a warning, if that fails."""
    try:
        client = open_client()
        lease = _create(client, args.job, args.command_line, args.timeout, args.agent_id)
    except (NoTokenError, UsageError, Unreachable, Problem, LookupError, TypeError) as error:
        _warn(f"this run is not recorded: {error}")
        return None
    return Recording(
        lease,
        client,
        outputs,
        on_cancel=lambda: running.end(CANCELED),
        on_lease_lost=_ignore,  # the command is the caller's, not the ledger's
        log=_ignore_line,
    )


def _create(
    client: Client, job_name: str, command: Sequence[str], timeout: int | None, agent_id: str
) -> Lease:
    answer = client.post(
        EXECUTIONS,
        {
            "job_name": _text(job_name),
            "command": [_text(argument) for argument in command],
            "working_dir": _working_dir(),
            "timeout_seconds": timeout,
            "triggered_by": "manual",
            "claim": {"agent_id": agent_id},
        },
        headers={"Idempotency-Key": os.urandom(16).hex()},
        answer_seconds=CREATE_SECONDS,
    )
    return Lease.from_answer(answer.json())


def _text(argument: str) -> str:
    # Arguments are bytes; what is no UTF-8 in them cannot stand in JSON.
    return os.fsencode(argument).decode("utf-8", "replace")


def _working_dir() -> str | None:
    try:
        return _text(os.getcwd())  # noqa: PTH109 - a string is wanted
    except OSError:
        return None  # it was removed under us, which the command may not mind


def _finish(recording: Recording, ending: Ending) -> None:
    # Our caller waits for the exit code: the rest of the record gets a bounded time.
    _after(FINISH_SECONDS, recording.give_up)
    sentence = recording.finish(ending)
    if sentence is not None:
        _warn(f"the end of this run is not recorded: {sentence}")


def _after(seconds: float, action: Callable[[], None]) -> None:
    import threading  # noqa: PLC0415

    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()


def _exit_code(ending: Ending) -> int:
    if ending.outcome == TIMED_OUT:
        return TIMEOUT_EXIT
    return UNKNOWN_EXIT if ending.exit_code is None else ending.exit_code


def _warn(sentence: str) -> None:
    print(f"cronledger: {' '.join(sentence.split())}", file=sys.stderr)


def _ignore() -> None:
    pass


def _ignore_line(_line: str) -> None:
    pass
