"""What argparse does for the commands: their options, their help, and that of all together."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from cli.main import COMMANDS, Subcommand
from cli.usage import USAGE_EXIT


def parse(
    name: str,
    line: str,
    configure: Callable[[argparse.ArgumentParser], None],
    options: Sequence[str],
) -> argparse.Namespace:
    """Return the options of a command; what is wrong with them ends the process."""
    return parser_of(name, line, configure).parse_args(options)


def parser_of(
    name: str, line: str, configure: Callable[[argparse.ArgumentParser], None]
) -> argparse.ArgumentParser:
    """Return the parser of a command with its line of help."""
    parser = argparse.ArgumentParser(
        prog=f"cronledger {name}",
        description=line[0].upper() + line[1:] + ".",
        allow_abbrev=False,
        formatter_class=_Formatter,
    )
    configure(parser)
    return parser


class _Listing(argparse.HelpFormatter):
    """Gives the names of commands the room that argparse forgets to count: their indentation."""

    def format_help(self) -> str:
        """Return the help."""
        self._action_max_length += self._indent_increment
        return super().format_help()


def without_command(arguments: Sequence[str]) -> int:
    """Answer a command line that names no command we know: with help, or the version."""
    parser = argparse.ArgumentParser(
        prog="cronledger",
        description="An event-sourced ledger of cron executions.",
        epilog="`cronledger COMMAND --help` shows the options of one command.",
        allow_abbrev=False,
        formatter_class=_Listing,
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


def _is_here(command: Subcommand) -> bool:
    """True unless this is the agent's one file, and the command is not in it."""
    return find_spec(command.module) is not None


class _Formatter(argparse.HelpFormatter):
    """Asks for the terminal's width by itself: argparse imports compression libraries for that."""

    def __init__(self, prog: str) -> None:
        try:
            columns = int(os.environ.get("COLUMNS") or os.get_terminal_size(1).columns)
        except (OSError, ValueError):
            columns = 0
        super().__init__(prog, width=(columns or 80) - 2)
