"""What the jobs of a crontab are called: after their programs, and never two alike."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePosixPath

_LENGTH_MAX = 100
_DIGEST_DIGITS = 6
_FOREIGN = re.compile("[^A-Za-z0-9_.:@-]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_SEPARATORS = frozenset({"&&", "||", ";", "|", "&"})
# Words before a command that are not what it is about, and commands that only prepare for it.
_KEYWORDS = frozenset({"{", "(", "!", "if", "then", "do", "while", "exec", "eval"})
_CHECKS = frozenset(
    {"test", "[", "[[", "command", "which", "type", "cd", "umask", "sleep", ".", "source"}
)
_WRAPPERS = frozenset(
    {"chronic", "env", "flock", "ionice", "nice", "nohup", "setsid", "stdbuf", "sudo", "time"}
    | {"timeout"}
)
_WITH_VALUE = frozenset({"-u", "-g"})
_NUMBER = re.compile(r"\d+(?:\.\d+)?[smhd]?")
_INTERPRETER = re.compile(r"(?:ba|da|k|z)?sh|perl|ruby|php|node|python\d*(?:\.\d+)?")


def job_names(jobs: Sequence[tuple[str, str]], taken: Collection[str] = ()) -> list[str]:
    """Return a name for each job, made from its command; jobs are schedules and commands.

    A name depends on its own line, and on whether another line or what is `taken` has the same:
    then the last argument is added, or else a digest of schedule and command.
    """
    words = [list(_words(command)) for _, command in jobs]
    short = [_name(some[:1]) for some in words]
    longer = [
        _name([some[0], PurePosixPath(some[-1]).name]) if len(some) > 1 else "" for some in words
    ]
    shorts, longers = Counter([*short, *taken]), Counter([*short, *longer, *taken])
    names = []
    for number, (schedule, command) in enumerate(jobs):
        if shorts[short[number]] == 1:
            names.append(short[number])
        elif longer[number] and longers[longer[number]] == 1:
            names.append(longer[number])
        else:
            text = f"{schedule} {command}".encode("utf-8", "surrogateescape")
            names.append(f"{short[number]}-{hashlib.sha256(text).hexdigest()[:_DIGEST_DIGITS]}")
    return names


def _name(parts: Sequence[str]) -> str:
    name = _FOREIGN.sub("-", "-".join(parts))[:_LENGTH_MAX].strip("-_.:@")
    return name or "job"


def _words(command: str) -> Iterator[str]:
    """Yield the name of the program that a command is about, and its arguments."""
    words = _tokens(command)
    at = _program_at(words)
    if at >= len(words):
        at = 0
    program = PurePosixPath(words[at]).name if words else ""
    rest = words[at + 1 :]
    end = next((number for number, word in enumerate(rest) if _ends(word)), len(rest))
    rest = rest[:end]
    if _INTERPRETER.fullmatch(program):
        if rest[:1] == ["-m"] and len(rest) > 1:
            program, rest = rest[1], rest[2:]
        elif "-c" not in rest:
            scripts = [number for number, word in enumerate(rest) if not word.startswith("-")]
            if scripts:
                program, rest = PurePosixPath(rest[scripts[0]]).name, rest[scripts[0] + 1 :]
    yield program
    yield from (word for word in rest if not word.startswith("-"))


def _tokens(command: str) -> list[str]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.commenters = ""
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:  # a quote that is not closed, which may stand in a here-document
        return command.split()


def _ends(word: str) -> bool:
    return word in _SEPARATORS or word[:1] in "<>"


def _program_at(words: Sequence[str]) -> int:
    at = 0
    while at < len(words):
        word = PurePosixPath(words[at]).name
        if word in _CHECKS:
            at = (
                next(
                    (one for one in range(at, len(words)) if words[one] in _SEPARATORS), len(words)
                )
                + 1
            )
        elif word in _WRAPPERS:
            at = _after_wrapper(words, at)
        elif word in _KEYWORDS or _ASSIGNMENT.match(words[at]):
            at += 1
        else:
            return at
    return at


def _after_wrapper(words: Sequence[str], at: int) -> int:
    wrapper = PurePosixPath(words[at]).name
    at += 1
    while at < len(words) and (words[at].startswith("-") or _NUMBER.fullmatch(words[at])):
        at += 2 if words[at] in _WITH_VALUE else 1
    return at + 1 if wrapper == "flock" else at  # its file
