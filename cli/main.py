"""The entry point `cronledger`: finds the subcommand and imports its module, and no other.

The convention: `COMMANDS` below lists each subcommand with its name, one line of help and its
module. That module has two functions:

    def configure(parser: argparse.ArgumentParser) -> None   # adds its options and arguments
    def run(args: argparse.Namespace) -> int                 # does the work, returns the exit code

`configure` also runs for `cronledger NAME --help`, so heavy imports (litestar, psycopg,
eventsourcing, and layers that import them) stand inside `run`, not at the top of the module. `run`
may raise `UsageError` with a sentence for a wrong use that argparse cannot see. A command with
`takes_command` gets everything after `--`, untouched, as `args.command_line`.

Exit codes: 0 ok, 1 refused or differences found, 2 usage, 3 server unreachable, 4 not authorised.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cli.usage import UsageError

_STDERR = 2
USAGE_EXIT = 2
INTERRUPTED_EXIT = 130
BROKEN_PIPE_EXIT = 141


class Subcommand(NamedTuple):
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
    Subcommand("list", "list executions, newest first", "cli.list_executions"),
    Subcommand("get", "show one execution with its output", "cli.get_execution"),
    Subcommand("logs", "write an execution's output", "cli.read_logs"),
    Subcommand("retry", "run a failed or timed-out execution again", "cli.retry_execution"),
    Subcommand("retries", "list the automatic retries to come", "cli.list_planned_retries"),
    Subcommand("cancel", "cancel a pending or running execution", "cli.cancel_execution"),
    Subcommand("missed", "list jobs that should have run and did not", "cli.list_missed"),
    Subcommand("agents", "list the agents and what they run", "cli.list_agents"),
    Subcommand("events", "show the recorded events of one execution", "cli.list_events"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    _open_what_is_closed()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a character still gets the rest of the line.
        sys.stdout.reconfigure(errors="replace")
    try:
        return _dispatch(arguments)
    except UsageError as error:
        print(f"cronledger: {error}", file=sys.stderr)
        return USAGE_EXIT
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    except BrokenPipeError:
        # The reader (head, less) has seen enough: no message, nor one from the last flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE_EXIT


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
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until exit


def _dispatch(arguments: list[str]) -> int:
    chosen = next((command for command in COMMANDS if arguments[:1] == [command.name]), None)
    if chosen is None:
        return _without_command(arguments)
    try:
        module = importlib.import_module(chosen.module)
    except ModuleNotFoundError as error:
        if error.name != chosen.module:
            raise
        raise UsageError(
            f"{chosen.name} is a command of the server, and this file is an agent's: install "
            f"Cronledger for it"
        ) from None
    parser = argparse.ArgumentParser(
        prog=f"cronledger {chosen.name}",
        description=chosen.help[0].upper() + chosen.help[1:] + ".",
        allow_abbrev=False,
        formatter_class=_Formatter,
    )
    module.configure(parser)
    options = arguments[1:]
    command_line: list[str] = []
    if chosen.takes_command and "--" in options:
        # By hand: some versions of argparse drop a second `--`, which belongs to the command.
        cut = options.index("--")
        options, command_line = options[:cut], options[cut + 1 :]
    args = parser.parse_args(options)
    if chosen.takes_command:
        args.command_line = command_line
    code: int = module.run(args)
    sys.stdout.flush()  # here, where a broken pipe is still ours to handle
    return code


def _is_here(command: Subcommand) -> bool:
    """True unless this is the agent's one file, and the command is not in it."""
    from importlib.util import find_spec  # noqa: PLC0415 - only here

    return find_spec(command.module) is not None


class _Formatter(argparse.HelpFormatter):
    """Asks for the terminal's width by itself: argparse imports compression libraries for that."""

    def __init__(self, prog: str) -> None:
        try:
            columns = int(os.environ.get("COLUMNS") or os.get_terminal_size(1).columns)
        except (OSError, ValueError):
            columns = 0
        super().__init__(prog, width=(columns or 80) - 2)


def _without_command(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="cronledger",
        description="An event-sourced ledger of cron executions.",
        epilog="`cronledger COMMAND --help` shows the options of one command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    listed = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in filter(_is_here, COMMANDS):
        listed.add_parser(command.name, help=command.help)
    args = parser.parse_args(arguments)
    if args.version:
        from cli.version import version  # noqa: PLC0415 - only here

        print(f"cronledger {version() or '(not installed)'}")
        return 0
    parser.print_help(sys.stderr)
    return USAGE_EXIT


if __name__ == "__main__":
    sys.exit(main())
