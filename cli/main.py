"""The entry point `cronledger`: finds the subcommand and imports its module, and no other.

The convention: `COMMANDS` below lists each subcommand with its name, one line of help and its
module. That module has two functions:

    def configure(parser: argparse.ArgumentParser) -> None   # adds its options and arguments
    def run(args: argparse.Namespace) -> int                 # does the work, returns the exit code

`configure` also runs for `cronledger NAME --help`, so heavy imports (litestar, psycopg,
eventsourcing, and layers that import them) stand inside `run`, not at the top of the module. `run`
may raise `UsageError` with a sentence for a wrong use that argparse cannot see. A command with
`takes_command` gets everything after `--`, untouched, as `args.command_line`. `exec` is waited for
by a command, so it has a third function, which spares it argparse where nothing is unusual:

    def read_plainly(options: list[str]) -> SimpleNamespace | None   # None: argparse has to look

Exit codes: 0 ok, 1 refused or differences found, 2 usage, 3 server unreachable, 4 not authorised.
"""

from __future__ import annotations

import gc
import io
import os
import sys

from agent.record import Record
from cli.usage import REFUSED_EXIT, USAGE_EXIT, UsageError, sentence

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import NoReturn

_STDERR = 2
_GARBAGE_AFTER = 50_000
INTERRUPTED_EXIT = 130
BROKEN_PIPE_EXIT = 141


class Subcommand(Record):
    """One line of `cronledger --help`, and the module that does it."""

    name: str
    help: str
    module: str
    takes_command: bool = False


COMMANDS = (
    Subcommand("serve", "run the server", "cli.serve"),
    Subcommand("agent", "run pending executions on this machine", "cli.agent_command"),
    Subcommand(
        "exec", "run a command here and record the run", "cli.exec_command", takes_command=True
    ),
    Subcommand("crontab", "show a crontab with its commands recorded", "cli.crontab_command"),
    Subcommand("job", "define jobs, list, change and run them", "cli.job", takes_command=True),
    Subcommand("webhook", "tell others of failures, recoveries and missed runs", "cli.webhook"),
    Subcommand("token", "create, list and revoke access tokens", "cli.token"),
    Subcommand("rebuild", "make the read models anew from the log", "cli.rebuild"),
    Subcommand("verify", "check the whole ledger", "cli.verify"),
    Subcommand("list", "list executions, newest first", "cli.list_executions"),
    Subcommand("get", "show one execution with its output", "cli.get_execution"),
    Subcommand("logs", "write an execution's output", "cli.read_logs"),
    Subcommand("retry", "run a failed or timed-out execution again", "cli.retry_execution"),
    Subcommand("retries", "list the automatic retries to come", "cli.list_planned_retries"),
    Subcommand("cancel", "cancel a pending or running execution", "cli.cancel_execution"),
    Subcommand("stats", "show how much ended how, and how long it took", "cli.show_statistics"),
    Subcommand("erase", "erase what an execution wrote or was given", "cli.erase_bodies"),
    Subcommand("retention", "show how long output is kept", "cli.show_retention"),
    Subcommand("missed", "list jobs that should have run and did not", "cli.list_missed"),
    Subcommand("agents", "list the agents and what they run", "cli.list_agents"),
    Subcommand("events", "show recorded events: of an execution, a job, or all", "cli.list_events"),
    Subcommand("audit", "show what happened to an execution or a job", "cli.audit"),
    Subcommand("export", "write the whole ledger into a file", "cli.export_ledger"),
    Subcommand("import", "read an exported ledger into an empty one", "cli.import_ledger"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    _open_what_is_closed()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a character still gets the rest of the line.
        sys.stdout.reconfigure(errors="replace")
    try:
        code = _dispatch(arguments)
        if argv is None and _is_waited_for(arguments):
            _leave(code)
    except UsageError as error:
        print(f"cronledger: {error}", file=sys.stderr)
        return USAGE_EXIT
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    except BrokenPipeError:
        # The reader (head, less) has seen enough: no message, nor one from the last flush at exit.
        _let_go_of_stdout()
        return BROKEN_PIPE_EXIT
    except OSError as error:
        print(f"cronledger: {sentence(error)}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:  # that was what failed
            _let_go_of_stdout()
        return REFUSED_EXIT
    return code


def _let_go_of_stdout() -> None:
    """Let the last flush, at exit, go where it disturbs nobody."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _chosen(arguments: list[str]) -> Subcommand | None:
    return next((command for command in COMMANDS if arguments[:1] == [command.name]), None)


def _is_waited_for(arguments: list[str]) -> bool:
    chosen = _chosen(arguments)
    return chosen is not None and chosen.takes_command


def _leave(code: int) -> NoReturn:
    """End this process without tidying up what ends with it: that takes as long as a fifth of it.

    Nothing of ours depends on it: what is to last is on disk, and threads were given up.
    """
    sys.stderr.flush()
    os._exit(code)


def _open_what_is_closed() -> None:
    """Give what a caller has closed (`>&-`) a place to go: Python sets stdout and stderr to None.

    The descriptors are taken first, or the next file or socket would be the standard output of
    whoever writes to descriptor 1.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - until exit; pathlib takes long


def _imported(name: str) -> ModuleType:
    __import__(name)  # `importlib` takes longer to import than it saves words
    return sys.modules[name]


def _dispatch(arguments: list[str]) -> int:
    chosen = _chosen(arguments)
    if chosen is None:
        from cli.parsing import without_command  # noqa: PLC0415

        return without_command(arguments)
    if chosen.takes_command:
        # What is imported is no garbage: do not look for any ten times on the way.
        gc.set_threshold(_GARBAGE_AFTER)
    try:
        module = _imported(chosen.module)
    except ModuleNotFoundError as error:
        if error.name != chosen.module:
            raise
        raise UsageError(
            f"{chosen.name} is a command of the server, and this file is an agent's: install "
            f"Cronledger for it"
        ) from None
    options = arguments[1:]
    command_line: list[str] = []
    if chosen.takes_command and "--" in options:
        # By hand: some versions of argparse drop a second `--`, which belongs to the command.
        cut = options.index("--")
        options, command_line = options[:cut], options[cut + 1 :]
    # Who starts commands reads the usual options without argparse, if it can.
    read_plainly = getattr(module, "read_plainly", None)
    args = read_plainly(options) if read_plainly is not None else None
    if args is None:
        from cli.parsing import parse  # noqa: PLC0415 - argparse takes long

        args = parse(chosen.name, chosen.help, module.configure, options)
    if chosen.takes_command:
        args.command_line = command_line
    code: int = module.run(args)
    sys.stdout.flush()  # here, where a broken pipe is still ours to handle
    return code


if __name__ == "__main__":
    sys.exit(main())
