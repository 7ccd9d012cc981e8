"""Rules of how `exec` reads its options: quickly, and as argparse would."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from cli.exec_command import configure, read_plainly
from cli.parsing import parser_of

_WORDS = (
    *("--job", "--timeout", "--expect", "--agent-id", "--mask", "--job=a b", "--timeout=7"),
    *("--job=", "--agent-id=-", "a", "5", "0", "-1", " 5", "", "a b", "-h", "--", "\u0663", "=x"),
)


@given(st.lists(st.sampled_from(_WORDS), max_size=6))
def test_what_is_read_plainly_argparse_reads_in_the_same_way(options: list[str]) -> None:
    """The quick way with options is no other way: what is unusual it leaves to argparse."""
    plainly = read_plainly(options)
    if plainly is not None:
        parser = parser_of("exec", "run a command", configure)
        assert vars(plainly) == vars(parser.parse_args(options))


def test_a_crontabs_line_is_read_plainly() -> None:
    """The options that a wrapped crontab has do not wait for argparse."""
    options = ["--job", "nightly", "--expect", "0 3 * * *", "--timeout=60", "--agent-id", "web-1"]
    assert read_plainly(options) == SimpleNamespace(
        job="nightly", expect="0 3 * * *", timeout=60, agent_id="web-1", mask=[]
    )
