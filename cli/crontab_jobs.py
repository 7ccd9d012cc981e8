r"""What the lines of a crontab are as jobs. Pure: from its text to requests.

A command is run by an agent as cron ran it: by the shell that the crontab sets, with the variables
that stand above it, in its user's home. `\%` is a percent sign; what follows an unescaped one was
its standard input, with line breaks for further ones, and is given to it by printf.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cli import crontab_lines
from cli.crontab_lines import DEFAULT_SHELL, Entry
from cli.job_names import job_names

_PERCENT = re.compile(r"\\%|%")
_ZONE = "CRON_TZ"
# What cron itself reads: no business of the command's.
_NOT_TAKEN = frozenset({"MAILTO", "MAILFROM", "RANDOM_DELAY"})
_CRONS = frozenset({_ZONE, "SHELL"}) | _NOT_TAKEN


@dataclass
class Draft:
    """One line of a crontab as a job.

    Attributes:
        number: Which line it is, from 1.
        body: The request that would make it; None if it is left alone.
        reason: Why it is left alone.
        notes: What will be different from cron.
    """

    number: int
    body: dict[str, Any] | None = None
    reason: str = ""
    notes: list[str] = field(default_factory=list)


def drafts(
    lines: list[str],
    *,
    system: bool,
    zone: str,
    home_of: Callable[[str | None], str | None],
    defaults: Mapping[str, Any],
) -> list[Draft]:
    """Return a draft for each line that runs a command.

    Args:
        lines: The crontab, without line breaks.
        system: True if each line names a user, as in /etc/crontab.
        zone: In which zone cron reads a schedule where the crontab names none.
        home_of: Returns the home of a user (None: of whose crontab it is), None if unknown.
        defaults: What all jobs have.
    """
    entries = _entries(lines, system=system)
    runnable = [entry for entry, variables in entries if not _why_not(entry, variables)]
    names = iter(
        job_names([(one.schedule, crontab_lines.text_of(one.command)) for one in runnable])
    )
    found = []
    for entry, variables in entries:
        reason = _why_not(entry, variables)
        if reason:
            found.append(Draft(entry.number, reason=reason))
            continue
        found.append(_draft(entry, variables, next(names), zone, home_of(entry.user), defaults))
    return found


def _entries(lines: list[str], *, system: bool) -> list[tuple[Entry, dict[str, str]]]:
    """Return what runs commands, each with the variables above it."""
    variables: dict[str, str] = {}
    found = []
    for number, line in enumerate(lines, 1):
        text = line.strip(" \t")
        if not text or text.startswith("#"):
            continue
        variable = crontab_lines.variable_of(line)
        if variable is not None:
            variables = {**variables, variable[0]: variable[1]}
            continue
        shell = variables.get("SHELL", DEFAULT_SHELL)
        found.append((crontab_lines.entry_of(number, line, shell, system=system), variables))
    return found


def _why_not(entry: Entry, variables: Mapping[str, str]) -> str:
    if entry.reason:
        return entry.reason
    if entry.schedule == "@reboot":
        return "@reboot is no time that a server could know: keep this line in the crontab"
    if not entry.command.strip():
        return "it has no command"
    taken = (value for name, value in variables.items() if name not in _NOT_TAKEN)
    if not _is_text("".join((entry.before, entry.command, entry.standard_input, *taken))):
        return "it, or a variable above it, holds bytes that are not UTF-8: keep it in the crontab"
    if entry.command.startswith("-"):
        return "its command begins with an option for cron"
    if crontab_lines.WRAPPED.search(entry.command):
        return "it is recorded by `cronledger exec` already: unwrap it first"
    return ""


def _is_text(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def _draft(  # noqa: PLR0917 - what a line, its crontab and the caller each say
    entry: Entry,
    variables: dict[str, str],
    name: str,
    zone: str,
    home: str | None,
    defaults: Mapping[str, Any],
) -> Draft:
    notes = []
    if entry.user is not None:
        notes.append(f"it ran as {entry.user}; an agent runs commands as its own user")
    if variables.get("MAILTO"):
        notes.append("its output was mailed; here it stands in the ledger")
    if "RANDOM_DELAY" in variables:
        notes.append("RANDOM_DELAY is not taken over; a job has --jitter")
    environment = {key: value for key, value in variables.items() if key not in _CRONS}
    body = {
        "name": name,
        "schedule": entry.schedule,
        "timezone": variables.get(_ZONE) or zone,
        "command": _command(entry),
        "environment": environment,
        **defaults,
    }
    directory = environment.get("HOME") or home
    if directory is not None:
        body["working_dir"] = directory
    return Draft(entry.number, body, notes=notes)


def _command(entry: Entry) -> str | list[str]:
    text = crontab_lines.text_of(entry.command)
    if not entry.standard_input:
        return text if entry.shell == DEFAULT_SHELL else [entry.shell, "-c", text]
    given = _PERCENT.sub(lambda found: "%" if found[0] == r"\%" else "\n", entry.standard_input[1:])
    run = f"{shlex.quote(entry.shell)} -c {shlex.quote(text)}"
    if not given:
        return f"{run} </dev/null"
    # cron ends it with a line break, unless there is one.
    lines = given[:-1].split("\n") if given.endswith("\n") else given.split("\n")
    return f"printf '%s\\n' {' '.join(map(shlex.quote, lines))} | {run}"
