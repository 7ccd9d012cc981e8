"""Rules of wrapped crontab lines: they mean what they meant, and they are recorded."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cli.crontab_lines import COMMAND_BYTES_MAX, Entry, text_of, wrap
from cli.job_names import job_names
from domain.names import is_name

PROGRAM = "/opt/cronledger/bin/cronledger"


def entries(*lines: str, system: bool = False) -> list[Entry]:
    return wrap(list(lines), PROGRAM, system=system)


def only(*lines: str, system: bool = False) -> Entry:
    (entry,) = entries(*lines, system=system)
    return entry


def cron_split(command: bytes) -> tuple[bytes, bytes | None]:
    """Do what cron does to a command before the shell sees it (do_command.c of Vixie cron)."""
    out = bytearray()
    escaped = False
    for position, byte in enumerate(command):
        char = bytes([byte])
        if escaped:
            if char == b"%":
                out.pop()
            out += char
            escaped = False
        elif char == b"%":
            return bytes(out), cron_input(command[position + 1 :])
        else:
            out += char
            escaped = char == b"\\"
    return bytes(out), None


def cron_input(rest: bytes) -> bytes:
    """Do what cron does to the standard input that a line holds."""
    out = rest.replace(b"\\%", b"\0").replace(b"%", b"\n").replace(b"\0", b"%")
    return out if out.endswith(b"\n") else out + b"\n"


def command_of(line: str) -> bytes:
    return os.fsencode(line.removeprefix("1 2 3 4 5 "))


@pytest.mark.parametrize(
    ("line", "wrapped"),
    [
        (
            "0 3 * * *  /opt/run --all",
            "0 3 * * *  {} exec --job run --expect '0 3 * * *' -- /bin/sh -c '/opt/run --all'",
        ),
        ("@reboot x", "@reboot {} exec --job x -- /bin/sh -c 'x'"),
        ("@daily x ", "@daily {} exec --job x --expect @daily -- /bin/sh -c 'x '"),
        (
            "\t*/5\t1 * * 7\tmail a%A%b",
            "\t*/5\t1 * * 7\t{} exec --job mail --expect '*/5 1 * * 7' -- /bin/sh -c 'mail a'%A%b",
        ),
        ("-0 0~9 * * 7 x", "-0 0~9 * * 7 {} exec --job x --expect '0 0~9 * * 7' -- /bin/sh -c 'x'"),
        (
            r"@daily a $(date +\%F) 'it is'",
            r"@daily {} exec --job a --expect @daily -- /bin/sh -c 'a $(date +\%F) '\''it is'\'''",
        ),
    ],
)
def test_a_command_is_wrapped(line: str, wrapped: str) -> None:
    """All else of the line stays as it is written."""
    assert only(line).wrapped == wrapped.format(PROGRAM)


def test_a_systems_crontab_names_a_user() -> None:
    """The command begins behind it."""
    entry = only("17 * * * *\troot    cd / && run-parts --report /etc/cron.hourly", system=True)
    assert (entry.user, entry.job, entry.schedule) == ("root", "run-parts", "17 * * * *")
    assert entry.wrapped is not None
    assert entry.wrapped.startswith(f"17 * * * *\troot    {PROGRAM} exec --job run-parts --expect ")


def test_lines_that_run_nothing_are_no_entries() -> None:
    """Comments, blank lines and variables, however they are written."""
    assert entries("", "  ", "# 0 3 * * * x", "MAILTO=", ' A = "b c"', '"SHELL" = /bin/sh') == []


def test_the_shell_is_the_crontabs() -> None:
    """From its variable on; where its quotes are not known a line is left alone."""
    first, second, third, fourth = entries(
        "@daily a",
        'SHELL = "/bin/bash"',
        "@daily b",
        "SHELL=/usr/bin/fish",
        "@daily c",
        "SHELL=",
        "@daily d",
    )
    assert first.wrapped is not None
    assert first.wrapped.endswith("-- /bin/sh -c 'a'")
    assert second.wrapped is not None
    assert second.wrapped.endswith("-- /bin/bash -c 'b'")
    assert (third.wrapped, fourth.wrapped) == (None, None)
    assert "/usr/bin/fish" in third.reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 3 * * * cronledger exec --job a -- true", "wrapped already"),
        ("0 3 * * * nice /opt/x/cronledger-agent.pyz exec --job a -- true", "wrapped already"),
        (f"0 3 * * * {PROGRAM} exec --job=a -- true", "wrapped already"),
        ("0 3 * * * -q true", "option"),
        ("0 3 * * *  ", "no command"),
        ("0 3 * * *", "not understood"),
        ("0 3 * * true", "not understood"),
        ("@sometimes true", "not understood"),
        ("61 * * * * true", "a time that is none"),
        ("0 24 * * * true", "a time that is none"),
        ("0 0 0-31/2 * * true", "a time that is none"),
        ("0 0 1 1,13 * true", "a time that is none"),
        ("0 0 * * 1-8 true", "a time that is none"),
        ("0 3 * * * %true", "no command"),
        ("0 3 * * * " + "x" * COMMAND_BYTES_MAX, str(COMMAND_BYTES_MAX)),
    ],
)
def test_what_is_left_alone_says_why(line: str, reason: str) -> None:
    """Nothing is guessed."""
    entry = only(line)
    assert entry.wrapped is None
    assert reason in entry.reason


def test_a_wrapped_crontab_stays_as_it_is() -> None:
    """Wrapping again changes nothing, and new lines take other names."""
    first = only("0 3 * * * backup")
    assert first.wrapped is not None
    again, other = entries(first.wrapped, "0 4 * * * backup")
    assert (again.wrapped, again.job) == (None, "backup")
    assert other.job.startswith("backup-")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/local/bin/backup.sh --all", "backup.sh"),
        ("cd /srv && PATH=/x FOO='a b' nice -n 10 ./job >/dev/null 2>&1", "job"),
        (
            "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }",
            "run-parts",
        ),
        ("[ -x /usr/lib/php/clean ] && if [ ! -d /run ]; then /usr/lib/php/clean; fi", "clean"),
        ("flock -n /tmp/lock timeout 5m sudo -u www php -q /srv/cron.php", "cron.php"),
        ("/usr/bin/python3 -m tools.report --daily", "tools.report"),
        ("/usr/bin/env python3.11 /srv/report.py", "report.py"),
        ("bash -c 'echo hi'", "bash"),
        ("command -v x > /dev/null && x 1 1", "x"),
        ("(cd /srv; ./a)", "a"),
        ("echo 'open", "echo"),
        ("$HOME/bin/größe", "gr-e"),
        ("'***'", "job"),
    ],
)
def test_jobs_are_named_after_their_programs(command: str, name: str) -> None:
    """As people would call them."""
    assert job_names([("@daily", command)]) == [name]
    assert is_name(name)


def test_equal_names_are_told_apart() -> None:
    """By the last argument, else by schedule and command; other lines change nothing."""
    parts = [
        ("1 * * * *", "run-parts /etc/cron.hourly"),
        ("2 * * * *", "run-parts /etc/cron.daily"),
    ]
    assert job_names(parts) == ["run-parts-cron.hourly", "run-parts-cron.daily"]
    twice = [("1 * * * *", "backup"), ("2 * * * *", "backup")]
    names = job_names(twice)
    assert len(set(names)) == 2
    assert job_names([*reversed(twice), ("3 * * * *", "other")]) == [*reversed(names), "other"]


CORPUS = [
    'printf %s\\\\n "it\'s"',
    r"""echo "a \"b\" $HOME" 'c d' \\ \' `echo e`""",
    r"date -u -d @0 +\%Y-\%m-\%d",
    r"printf '\%s|' a\\b 'c\\\\d' '\\\%'",
    "cat%line one%line \\% two%",
    "sh -c 'cat; echo \"$0\"' x%in",
    "echo größe 日本 \udcff",
    'echo "$0" "$#"; exit 7',
    'x="\'"; echo "$x" ; false || echo or',
    "(echo a; echo b >&2) 2>&1 | sort -r # comment",
    "echo a\\",
    "echo '!' \"$((1+2))\" ~ *.none",
    "\\true; echo -n '' ''",
    "echo '\\\\'%\\\\%x",
]


def shells_result(command: bytes, where: Path) -> tuple[int, bytes, bytes]:
    text, given = cron_split(command)
    done = subprocess.run(
        ["/bin/sh", "-c", text], input=given or b"", capture_output=True, check=False, cwd=where
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", CORPUS)
def test_a_wrapped_line_does_what_it_did(command: str, tmp_path: Path) -> None:
    """Run by a real shell, after what cron does to it: the same output and exit code."""
    stand_in = tmp_path / "cronledger"
    stand_in.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
    stand_in.chmod(0o755)
    (entry,) = wrap([f"1 2 3 4 5 {command}"], str(stand_in))
    assert entry.wrapped is not None
    assert shells_result(command_of(entry.wrapped), tmp_path) == shells_result(
        os.fsencode(command), tmp_path
    )


commands = st.text(
    st.one_of(
        st.sampled_from("%\\'\" $`!#;&|aé"),
        st.characters(blacklist_characters="\0\n", blacklist_categories=["Cs"]),
    ),
    min_size=1,
    max_size=60,
)


@settings(deadline=None)
@given(commands)
def test_any_command_reaches_its_shell_unchanged(command: str) -> None:
    """What the shell gets behind `-c`, and what stands on standard input, are the same bytes."""
    found = wrap([f"1 2 3 4 5 {command}"], PROGRAM)
    assume(found and found[0].wrapped is not None)
    line = command_of(str(found[0].wrapped))
    expected, expected_input = cron_split(command_of(f"1 2 3 4 5 {command.lstrip(' ' + chr(9))}"))

    text, given_input = cron_split(line)
    words = [PROGRAM, "exec", "--job", found[0].job, "--expect", "1 2 3 4 5", "--", "/bin/sh", "-c"]
    shown = subprocess.run(
        ["/bin/sh", "-c", b"printf '%s\\0' " + text], capture_output=True, check=True
    )

    assert shown.stdout.split(b"\0")[:-1] == [*map(os.fsencode, words), expected]
    assert given_input == expected_input
    assert os.fsencode(text_of(found[0].command)) == expected
    assert is_name(found[0].job)
    assert shlex.split(os.fsdecode(text))[-1] == os.fsdecode(expected)
