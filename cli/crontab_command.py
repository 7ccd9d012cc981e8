"""`cronledger crontab`: shows how a crontab would look with each command recorded."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from cli.crontab_lines import Entry, wrap
from cli.usage import REFUSED_EXIT, UsageError
from domain.shown_text import shown

# With `~`, since some crons run every other file beside theirs.
BACKUP_SUFFIX = ".cronledger-backup~"
_OWN = "crontab"
_SYSTEM_FOLDER = Path("/etc/cron.d")
_SYSTEM_FILE = Path("/etc/crontab")


class CrontabError(Exception):
    """The crontab cannot be read or written; the message says why."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="the crontab; - is standard input (default: this user's own, from `crontab -l`)",
    )
    parser.add_argument(
        "--system",
        action="store_true",
        help="each line names a user (always so for /etc/crontab and in /etc/cron.d)",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"replace the crontab; a file is kept as FILE{BACKUP_SUFFIX}",
    )
    parser.add_argument(
        "--program",
        metavar="PATH",
        help="how the lines call cronledger (default: the path of this program)",
    )
    parser.add_argument("--json", action="store_true", help="print the lines that run commands")


def run(args: argparse.Namespace) -> int:
    """Show the changes, and make them if asked to."""
    if args.write and args.file == "-":
        raise UsageError("--write needs a file, or no FILE for this user's own crontab")
    program = _program(args.program)
    try:
        content = read(args.file)
        lines = content.decode("utf-8", "surrogateescape").split("\n")
        entries = wrap(lines, program, system=args.system or is_systems(args.file))
        changed = _changed(lines, entries)
        if args.json:
            print(json.dumps([_public(entry) for entry in entries], indent=2))
        else:
            _show(args.file or _OWN, lines, changed, entries)
        if args.write and changed != lines:
            _write(args.file, content, "\n".join(changed).encode("utf-8", "surrogateescape"))
    except CrontabError as error:
        sys.stdout.flush()
        print(f"cronledger: {error}", file=sys.stderr)
        return REFUSED_EXIT
    return 0


def _program(asked: str | None) -> str:
    if asked is not None:
        program = os.path.abspath(asked) if "/" in asked else asked  # noqa: PTH100 - keeps links
    else:
        started = os.path.abspath(sys.argv[0])  # noqa: PTH100
        beside = Path(sys.executable).with_name("cronledger")
        found = [path for path in (started, str(beside)) if _is_program(path)]
        if not found:
            raise UsageError("say with --program how the lines are to call cronledger")
        program = found[0]
    if "%" in program or "\n" in program:
        raise UsageError(f"{program!r} cannot be written into a crontab")
    return program


def _is_program(path: str) -> bool:
    return not path.endswith(".py") and Path(path).is_file() and os.access(path, os.X_OK)


def is_systems(file: str | None) -> bool:
    """Tell whether this is a system's crontab, whose lines name users."""
    if file is None:
        return False
    path = Path(file).absolute()
    return path == _SYSTEM_FILE or path.parent == _SYSTEM_FOLDER


def read(file: str | None) -> bytes:
    """Return a crontab: a file, `-`, or this user's own. Raises `CrontabError`."""
    if file is None:
        return _crontab("-l")
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CrontabError(f"{file} cannot be read: {error.strerror}") from error


def _crontab(option: str, content: bytes | None = None) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 - with an option of ours
            ["crontab", option],  # noqa: S607 - wherever the system has it
            input=content,
            stdin=subprocess.DEVNULL if content is None else None,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise CrontabError(f"crontab cannot be run: {error.strerror}") from error
    if done.returncode != 0:
        sentence = shown(done.stderr.strip(), plain=True)
        raise CrontabError(f"`crontab {option}` refused: {sentence or 'it did not say why'}")
    return done.stdout


def _changed(lines: Sequence[str], entries: Sequence[Entry]) -> list[str]:
    changed = list(lines)
    for entry in entries:
        if entry.wrapped is not None:
            changed[entry.number - 1] = entry.wrapped
    return changed


def _public(entry: Entry) -> dict[str, object]:
    return {
        "line": entry.number,
        "schedule": entry.schedule or None,
        "user": entry.user,
        "command": entry.command + entry.standard_input,
        "job": entry.job or None,
        "wrapped": entry.wrapped,
        "reason": entry.reason or None,
    }


def _show(
    name: str, lines: Sequence[str], changed: Sequence[str], entries: Sequence[Entry]
) -> None:
    difference = "".join(_difference(name, lines, changed)).encode("utf-8", "surrogateescape")
    if sys.stdout.isatty():
        sys.stdout.write(shown(difference, plain=True))
    else:  # a patch, byte for byte
        sys.stdout.flush()
        sys.stdout.buffer.write(difference)
    sys.stdout.flush()
    for entry in entries:
        if entry.wrapped is None:
            print(f"cronledger: line {entry.number} is left alone: {entry.reason}", file=sys.stderr)


def _difference(name: str, lines: Sequence[str], changed: Sequence[str]) -> Iterator[str]:
    found = difflib.unified_diff(_ended(lines), _ended(changed), name, f"{name} (recorded)")
    for line in found:
        yield line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"


def _ended(lines: Sequence[str]) -> list[str]:
    ended = [line + "\n" for line in lines[:-1]]
    return [*ended, lines[-1]] if lines[-1] else ended


def _write(file: str | None, content: bytes, changed: bytes) -> None:
    if file is None:
        _crontab("-", changed)
        print("this user's crontab is replaced", file=sys.stderr)
        return
    path = Path(os.path.realpath(file))  # a link stays one
    backup = path.with_name(path.name + BACKUP_SUFFIX)
    try:
        attributes = path.stat()
        if not backup.exists():  # the first one is what it was before any change
            _replace(backup, content, attributes)
        # At this point the former crontab is safe, whatever happens to the new one.
        _replace(path, changed, attributes)
    except OSError as error:
        raise CrontabError(f"{path} cannot be replaced: {error.strerror}") from error
    print(f"{path} is replaced; it was as in {backup}", file=sys.stderr)


def _replace(path: Path, content: bytes, attributes: os.stat_result) -> None:
    """Put a file in place with the mode and owner of another, whole or not at all."""
    new = path.with_name(f".{path.name}.{os.getpid()}")  # no cron looks at such a name
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as opened:  # noqa: PTH123 - a descriptor
            opened.write(content)
            opened.flush()
            if (attributes.st_uid, attributes.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, attributes.st_uid, attributes.st_gid)
            os.fchmod(descriptor, attributes.st_mode & 0o7777)
            os.fsync(descriptor)
        os.replace(new, path)  # noqa: PTH105 - as clear
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
