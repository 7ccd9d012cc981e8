"""`cronledger exec`: runs a command here, as if it stood there alone, and records the run.

The command comes first: whatever happens to the recording, it runs, and its output, exit code and
signals pass through. One line on standard error says so when a run is not recorded.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from types import FrameType
from typing import Any

from agent.output import KEPT_BYTES_MAX
from agent.process import TIMED_OUT, Command, Ending
from agent.run import Outputs, Run
from cli.arguments import at_least
from cli.connection import NoTokenError, open_client
from cli.exec_record import ExecRecord, NotRecordedError, UnfinishedRecordError
from cli.home import local_agent_id
from cli.usage import UsageError

TIMEOUT_EXIT = 124
UNKNOWN_EXIT = 125  # nobody saw how it ended: it survived SIGKILL
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# What opens the ledger is for us, not for a command and all that it starts.
_OWN_SECRETS = frozenset(
    {
        "CRONLEDGER_TOKEN",
        "CRONLEDGER_SECRET_KEY",
        "CRONLEDGER_DATABASE_URL",
        "CRONLEDGER_OWNER_DATABASE_URL",
    }
)


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
        "--expect", metavar="SCHEDULE", help="when this job should run: a cron schedule"
    )
    parser.add_argument(
        "--agent-id",
        metavar="ID",
        default=local_agent_id(),
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
        Command(args.command_line, environment=_childs_environment(), callers_files=True),
        outputs,
        timeout_seconds=args.timeout,
        copy_to=(1, 2),
    )
    _forward_signals(running)
    record = _record(args, running, outputs)
    if record is None:
        outputs.discard()
    ending = running.carry_out()
    if ending.failure_reason == "spawn_failed":
        print(f"cronledger: {ending.error}", file=sys.stderr)
    if record is not None:
        _finish(record, ending)
    return _exit_code(ending)


def _forward_signals(running: Run) -> None:
    def forward(number: int, _frame: FrameType | None) -> None:
        running.send_signal(number)

    for number in _FORWARDED:
        # What our caller ignores (nohup) the command ignores too, by inheritance.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, forward)


def _record(args: argparse.Namespace, running: Run, outputs: Outputs) -> ExecRecord | None:
    """Ask for an execution with our lease on it; None, after a warning, if there is none."""
    try:
        record = ExecRecord(open_client(), _body(args), running, outputs)
        record.open()
    except (NoTokenError, UsageError, NotRecordedError) as error:
        _warn(f"this run is not recorded: {error}")
        return None
    return record


def _body(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "job_name": _text(args.job),
        "command": [_text(argument) for argument in args.command_line],
        "working_dir": _working_dir(),
        "timeout_seconds": args.timeout,
        "triggered_by": "manual",
        "claim": {"agent_id": args.agent_id},
        **({"expected_schedule": args.expect} if args.expect is not None else {}),
    }


def _childs_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _OWN_SECRETS}


def _text(argument: str) -> str:
    # Arguments are bytes; what is no UTF-8 in them cannot stand in JSON.
    return os.fsencode(argument).decode("utf-8", "replace")


def _working_dir() -> str | None:
    try:
        return _text(os.getcwd())  # noqa: PTH109 - a string is wanted
    except OSError:
        return None  # it was removed under us, which the command may not mind


def _finish(record: ExecRecord, ending: Ending) -> None:
    try:
        record.finish(ending)
    except NotRecordedError as error:
        _warn(f"this run is not recorded: {error}")
    except UnfinishedRecordError as error:
        _warn(f"the end of this run is not recorded: {error}")


def _exit_code(ending: Ending) -> int:
    if ending.outcome == TIMED_OUT:
        return TIMEOUT_EXIT
    return UNKNOWN_EXIT if ending.exit_code is None else ending.exit_code


def _warn(sentence: str) -> None:
    print(f"cronledger: {' '.join(sentence.split())}", file=sys.stderr)
