r"""Reads a crontab as cron does, and puts `cronledger exec` before its commands.

A command keeps its exact text: it becomes one argument in single quotes for the shell that would
have run it. cron itself takes `\%` for a percent sign and an unescaped one for the end of the
command and the beginning of its standard input, before any shell sees it; so those stay as they
are, and where they are.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from cli.job_names import job_names

DEFAULT_SHELL = "/bin/sh"
COMMAND_BYTES_MAX = 998  # what some crons take; the rest of a longer one is lost
_AT_START = "@reboot"
_NICKNAMES = frozenset(
    {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", _AT_START}
)
# Shells in which a text in single quotes is the text, and '\'' a single quote.
_SHELLS = frozenset({"sh", "ash", "bash", "dash", "ksh", "mksh", "zsh"})
_VARIABLE = re.compile(r"""[ \t]*("[^"]*"|'[^']*'|[^\s=]+)[ \t]*=[ \t]*(.*?)[ \t]*\Z""", re.DOTALL)
_WHEN = re.compile(r"[ \t]*(@[a-z_]+|-?[\w*,/~-]+(?:[ \t]+[\w*,/~-]+){4})[ \t]+", re.ASCII)
# Of minute, hour, day of the month, month, and day of the week.
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_NUMBER = re.compile(r"(?<![/\w])[0-9]+(?!\w)")
_USER = re.compile(r"[^\s]+[ \t]+")
_BEFORE_INPUT = re.compile(r"(?:[^%\\]|\\.|\\\Z)*", re.DOTALL)
_ESCAPE = re.compile(r"\\.", re.DOTALL)
WRAPPED = re.compile(r"cronledger[\w.-]*['\"]?[ \t]+exec[ \t]")
_JOB_OFWRAPPED = re.compile(r"--job[ =]+['\"]?([\w.:@-]+)")


@dataclass(frozen=True)
class Entry:
    r"""One line of a crontab that runs a command.

    Attributes:
        number: Which line it is, from 1.
        before: What stands before the command, as it is written.
        schedule: When it runs, with single blanks.
        user: As whom, in a system's crontab.
        command: The command, as it is written (`\%` for a percent sign).
        standard_input: From the first unescaped percent sign on, as it is written.
        shell: What runs the command.
        job: The name that the job gets, or has if it is wrapped already.
        wrapped: The new line; None if it is left alone.
        reason: Why it is left alone.
    """

    number: int
    before: str
    schedule: str
    user: str | None
    command: str
    standard_input: str
    shell: str
    job: str = ""
    wrapped: str | None = None
    reason: str = ""


def wrap(lines: list[str], program: str, *, system: bool = False) -> list[Entry]:
    """Return the lines that run commands, each with its wrapped form or why it has none.

    Args:
        lines: The crontab, without line breaks.
        program: The path of `cronledger`, as it is to be written.
        system: True if each line names a user, as in /etc/crontab.
    """
    entries = list(_entries(lines, system=system))
    own = re.compile(re.escape(shlex.quote(program)) + r"[ \t]+exec[ \t]")
    done = {
        entry.number: entry
        for entry in entries
        if WRAPPED.search(entry.command) or own.match(entry.command)
    }
    fresh = [entry for entry in entries if entry.number not in done]
    taken = {found.group(1) for entry in done.values() if (found := _job_of(entry))}
    names = job_names([(one.schedule, text_of(one.command)) for one in fresh], taken)
    named = {entry.number: name for entry, name in zip(fresh, names)}  # noqa: B905 - on Python 3.9 too
    return [
        _wrapped(replace(entry, job=named[entry.number]), program)
        if entry.number in named
        else _wrapped_already(entry)
        for entry in entries
    ]


def text_of(written: str) -> str:
    """Return the command that cron gives to the shell for what is written."""
    return _ESCAPE.sub(lambda pair: "%" if pair[0] == r"\%" else pair[0], written)


def _entries(lines: list[str], *, system: bool) -> Iterator[Entry]:
    shell = DEFAULT_SHELL
    for number, line in enumerate(lines, 1):
        text = line.lstrip(" \t")
        if not text or text.startswith("#"):
            continue
        variable = variable_of(line)
        if variable is not None:
            if variable[0] == "SHELL":
                shell = variable[1]
            continue
        yield entry_of(number, line, shell, system=system)


def variable_of(line: str) -> tuple[str, str] | None:
    """Return the variable that a line sets for those below it, None if it sets none."""
    found = _VARIABLE.match(line)
    return None if found is None else (found[1].strip("'\""), _unquoted(found[2]))


def entry_of(number: int, line: str, shell: str, *, system: bool) -> Entry:
    """Return what a line that sets nothing runs, or why it is not understood."""
    when = _WHEN.match(line)
    if when is None or (when[1].startswith("@") and when[1] not in _NICKNAMES):
        return Entry(number, line, "", None, "", "", shell, reason="it is not understood")
    if not _is_in_bounds(when[1].lstrip("-").split()):
        return Entry(number, line, "", None, "", "", shell, reason="it names a time that is none")
    start = when.end()
    user = None
    if system:
        found = _USER.match(line, start)
        if found is None:
            return Entry(number, line, "", None, "", "", shell, reason="it names no user")
        user = found.group().strip()
        start = found.end()
    cut = _BEFORE_INPUT.match(line, start)
    end = len(line) if cut is None else cut.end()
    schedule = " ".join(when[1].lstrip("-").split())
    return Entry(number, line[:start], schedule, user, line[start:end], line[end:], shell)


def _is_in_bounds(fields: list[str]) -> bool:
    return fields[0].startswith("@") or all(
        low <= int(number) <= high
        for field, (low, high) in zip(fields, _BOUNDS)  # noqa: B905 - on Python 3.9 too
        for number in _NUMBER.findall(field)
    )


def _wrapped(entry: Entry, program: str) -> Entry:
    reason = entry.reason or _reason(entry)
    if reason:
        return replace(entry, job="", reason=reason)
    expect = () if entry.schedule == _AT_START else ("--expect", entry.schedule)
    words = (program, "exec", "--job", entry.job, *expect, "--", entry.shell, "-c")
    # By hand, not with shlex.quote: the one way of which is known that it moves no `\%` and `%`.
    quoted = "'" + entry.command.replace("'", "'\\''") + "'"
    command = f"{' '.join(map(shlex.quote, words))} {quoted}{entry.standard_input}"
    if len(command.encode("utf-8", "surrogateescape")) > COMMAND_BYTES_MAX:
        reason = (
            f"wrapped it would have more than the {COMMAND_BYTES_MAX} bytes that each cron takes"
        )
        return replace(entry, job="", reason=reason)
    return replace(entry, wrapped=entry.before + command)


def _reason(entry: Entry) -> str:
    if not entry.command.strip():
        return "it has no command"
    if entry.command.startswith("-"):
        return "its command begins with an option for cron"
    shell = PurePosixPath(entry.shell)
    if not shell.is_absolute() or shell.name not in _SHELLS or "%" in entry.shell:
        return f"how {entry.shell or 'its empty SHELL'} quotes a text is not known here"
    return ""


def _wrapped_already(entry: Entry) -> Entry:
    found = _job_of(entry)
    return replace(entry, job=found.group(1) if found else "", reason="it is wrapped already")


def _job_of(entry: Entry) -> re.Match[str] | None:
    return _JOB_OFWRAPPED.search(entry.command)


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] in "'\"" and value[0] == value[-1]
    return value[1:-1] if quoted else value
