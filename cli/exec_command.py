"""`cronledger exec`: runs a command here, as if it stood there alone, and records the run.

The command comes first: it starts before anything is asked of the server, and whatever happens to
the recording, it runs, and its output, exit code and signals pass through. What the server does
not hear of at once waits in a spool (see agent/spool.py).
"""

from __future__ import annotations

import os
import sys
import time

from agent.bare import SimpleNamespace, signal
from agent.kept_output import STREAMS, KeptWriter, masker_for
from agent.kindred import adopt_orphans
from agent.process import CANCELED, TIMED_OUT, Command, Ending
from agent.run import Run, ending_document
from cli.exec_record import ExecRecord
from cli.exec_spool import make_folder
from cli.home import local_agent_id
from cli.recordable import recordable_command, recordable_name
from cli.usage import UsageError
from domain.id_numbers import EXECUTION, RisingNumbers, spelled
from domain.names import is_name

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType
    from typing import Any

    from agent.client import Client

TIMEOUT_EXIT = 124
UNKNOWN_EXIT = 125  # nobody saw how it ended: it survived SIGKILL
_WEIGH_EVERY = 8
_PLAIN = {
    "--job": "job",
    "--timeout": "timeout",
    "--expect": "expect",
    "--agent-id": "agent_id",
}
_WHOLE_NUMBER = frozenset("0123456789")
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
    from cli.arguments import add_mask_option, at_least, name  # noqa: PLC0415 - see `read_plainly`

    parser.usage = "cronledger exec [-h] --job NAME [options] -- COMMAND [ARGUMENT ...]"
    parser.add_argument("--job", metavar="NAME", required=True, help="the job's name in the ledger")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=at_least(1),
        help="end the command after this time, with exit code 124 (default: never)",
    )
    parser.add_argument(
        "--expect",
        metavar="SCHEDULE",
        help="when this job should run: a cron schedule, in cron's time zone on this machine",
    )
    parser.add_argument(
        "--agent-id",
        metavar="ID",
        type=name,
        default=local_agent_id(),
        help="the name to record as who ran it (default: this host's name, %(default)s)",
    )
    add_mask_option(parser, "the recorded output and command")


def read_plainly(options: Sequence[str]) -> SimpleNamespace | None:
    """Return what argparse would, in a fraction of the time; None if there is anything unusual."""
    values: dict[str, Any] = {"timeout": None, "expect": None, "agent_id": None, "mask": []}
    words = iter(options)
    for word in words:
        option, equals, value = word.partition("=")
        if not equals:
            value = next(words, "")
        if option not in _PLAIN or not value or (not equals and value.startswith("-")):
            return None
        values[_PLAIN[option]] = value
    if values["agent_id"] is None:
        values["agent_id"] = local_agent_id()
    elif not is_name(values["agent_id"]):
        return None
    seconds = values["timeout"]
    if seconds is not None:
        if not _WHOLE_NUMBER.issuperset(seconds) or int(seconds) < 1:
            return None
        values["timeout"] = int(seconds)
    return SimpleNamespace(**values) if "job" in values else None


def run(args: argparse.Namespace | SimpleNamespace) -> int:
    """Run the command and return its exit code."""
    if not args.command_line:
        raise UsageError(
            "exec needs the command after `--`: cronledger exec --job NAME -- COMMAND ..."
        )
    execution_id = _new_id()
    record = _record(args, execution_id, on_cancel=lambda: running.end(CANCELED))
    outputs = _writers(record, args.mask)
    # A caller that ignores it (which is inherited) would take away every exit code.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    adopting = adopt_orphans()
    running = Run(
        Command(
            args.command_line, environment=_childs_environment(execution_id), callers_files=True
        ),
        outputs,
        timeout_seconds=args.timeout,
        copy_to=(1, 2),
        adopting=adopting,
        on_started=_nothing if record is None else record.start,
    )
    _forward_signals(running)
    ending = running.carry_out()
    if ending.failure_reason == "spawn_failed":
        print(f"cronledger: {ending.error}", file=sys.stderr)
    if record is not None:
        _finish(record, ending_document(ending, outputs))
    return _exit_code(ending)


def _new_id() -> str:
    # Not of the module `secrets`, which takes long to import.
    return spelled(EXECUTION, RisingNumbers(time.time_ns, _random_bits)())


def _random_bits(count: int) -> int:
    return int.from_bytes(os.urandom((count + 7) // 8), "big") >> (-count % 8)


def _record(
    args: argparse.Namespace | SimpleNamespace, execution_id: str, *, on_cancel: Callable[[], None]
) -> ExecRecord | None:
    """Return a record with a folder that knows what is about to run; None if there is no place."""
    try:
        folder = make_folder(execution_id)
        record = ExecRecord(folder, _body(args, execution_id), _open_client, on_cancel=on_cancel)
        record.begin()
    except Exception as error:  # noqa: BLE001 - whatever it is, the command has to run
        _warn(f"this run is not recorded: it cannot be kept: {error}")
        return None
    return record


def _writers(record: ExecRecord | None, patterns: list[str]) -> tuple[KeptWriter, KeptWriter]:
    stdout, stderr = (
        KeptWriter(
            None if record is None else record.folder.place,
            name,
            masker=masker_for((), patterns),
            on_news=_nothing if record is None else record.watch.tell_news,
        )
        for name in STREAMS
    )
    return stdout, stderr


def _open_client() -> Client:
    from cli.connection import open_client  # noqa: PLC0415 - not before the command has started

    return open_client()


def _forward_signals(running: Run) -> None:
    def forward(number: int, _frame: FrameType | None) -> None:
        running.send_signal(number)

    for number in _FORWARDED:
        # What our caller ignores (nohup) the command ignores too, by inheritance.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, forward)


def _body(args: argparse.Namespace | SimpleNamespace, execution_id: str) -> dict[str, Any]:
    words = [_text(argument) for argument in args.command_line]
    is_exact = all(map(_is_text, args.command_line))
    masker = masker_for((), args.mask)
    words = words if masker is None else [masker.text(word) for word in words]
    return {
        "id": execution_id,
        "job_name": recordable_name(_text(args.job), _warn),
        "command": recordable_command(words, _warn, is_exact=is_exact),
        "working_dir": _working_dir(),
        "timeout_seconds": args.timeout,
        "triggered_by": "manual",
        "claim": {"agent_id": args.agent_id},
        **_expected(args.expect),
    }


def _expected(schedule: str | None) -> dict[str, str]:
    if schedule is None:
        return {}
    from cli.time_zone import crons_zone  # noqa: PLC0415 - only for those who say a schedule

    zone = crons_zone()
    return {"expected_schedule": schedule} | ({} if zone is None else {"expected_timezone": zone})


def _childs_environment(execution_id: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _OWN_SECRETS}
    return {**kept, "CRONLEDGER_EXECUTION_ID": execution_id}


def _text(argument: str) -> str:
    # Arguments are bytes; what is no UTF-8 in them cannot stand in JSON.
    return os.fsencode(argument).decode("utf-8", "replace")


def _is_text(argument: str) -> bool:
    return os.fsencode(argument) == _text(argument).encode()


def _working_dir() -> str | None:
    try:
        return _text(os.getcwd())  # noqa: PTH109 - a string is wanted
    except OSError:
        return None  # it was removed under us, which the command may not mind


def _finish(record: ExecRecord, ending: Mapping[str, Any]) -> None:
    try:
        is_settled = record.finish(ending)
    except OSError as error:
        _warn(f"the end of this run is not recorded: it cannot be kept: {error}")
        return
    if record.schedule_refusal:
        _warn(f"when this job should run is not recorded: {record.schedule_refusal}")
    if record.refusal:
        what = "the end of this run" if record.has_lease else "this run"
        _warn(f"{what} is not recorded: {record.refusal}")
    elif not is_settled:
        _leave_in_spool(record)


def _leave_in_spool(record: ExecRecord) -> None:
    from agent.spool import Spool  # noqa: PLC0415 - seldom needed

    spool = Spool(record.folder.place.rpartition("/runs/")[0])
    # Mail from each run while a server is away would help nobody: nothing is lost.
    if record.obstacle_lasts or sys.stderr.isatty():
        _warn(f"this run is not recorded yet, and kept in {spool.path}: {record.obstacle}")
    # To weigh a long list takes its time, which one run in eight may do for all.
    weigh = sum(os.fsencode(record.folder.execution_id)) % _WEIGH_EVERY == 0
    dropped = spool.trim(weigh=weigh)
    if dropped is not None:
        _warn(dropped)


def _exit_code(ending: Ending) -> int:
    if ending.outcome == TIMED_OUT:
        return TIMEOUT_EXIT
    return UNKNOWN_EXIT if ending.exit_code is None else ending.exit_code


def _warn(sentence: str) -> None:
    print(f"cronledger: {' '.join(sentence.split())}", file=sys.stderr)


def _nothing() -> None:
    pass
