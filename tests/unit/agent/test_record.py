"""Rules of the tuples with names: they are as those of the module `typing`."""

import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.record import Record


class Ours(Record):
    """As `agent` declares them."""

    name: str
    size: int
    note: str = "none"


class Theirs(NamedTuple):
    """The same."""

    name: str
    size: int
    note: str = "none"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (("a", 1), {}),
        (("a",), {"size": 2, "note": "n"}),
        ((), {"name": "b", "size": 3}),
        (("a", 1, "n"), {}),
    ],
)
def test_a_record_is_a_named_tuple(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Members by name and by place, defaults, equality, a changed copy, and what it is shown as."""
    ours, theirs = Ours(*values, **named), Theirs(*values, **named)
    assert ours == tuple(theirs)
    assert (ours.name, ours.size, ours.note) == tuple(theirs)
    assert ours._asdict() == theirs._asdict()
    assert ours._replace(size=7) == tuple(theirs._replace(size=7))
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert hash(ours) == hash(theirs)


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), (("a",), {}), (("a", 1, "n", 4), {}), (("a", 1), {"size": 2}), (("a", 1), {"x": 2})],
)
def test_what_is_missing_or_too_much_is_an_error(
    values: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """A member without a value, one twice, and one that there is not."""
    with pytest.raises(TypeError):
        Ours(*values, **named)


def test_a_record_cannot_be_changed() -> None:
    """As a tuple, it is what it was made as."""
    with pytest.raises(AttributeError):
        Ours("a", 1).name = "b"  # type: ignore[misc]


def test_exec_waits_for_no_module_that_it_can_do_without(tmp_path: Path) -> None:
    """What a command of a crontab would wait for is not imported, with a server or without one."""
    asked = (
        "import sys; before = set(sys.modules); from cli.main import _dispatch; "
        "code = _dispatch(sys.argv[1:]); print(*set(sys.modules) - before); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", asked, "exec", "--job", "j", "--", "true"],
        env={
            "CRONLEDGER_HOME": str(tmp_path),
            "CRONLEDGER_URL": "http://127.0.0.1:9",
            "CRONLEDGER_TOKEN": "clk_made_up",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    loaded = set(done.stdout.split())
    heavy = {"argparse", "email", "hashlib", "http", "pathlib", "random", "ssl", "subprocess"}
    heavy |= {"datetime", "logging", "typing", "urllib", "uuid", "inspect", "tempfile"}
    heavy |= {"collections", "contextlib", "ctypes", "enum", "functools", "importlib", "json"}
    heavy |= {"operator", "re", "signal", "socket", "struct", "threading", "types", "warnings"}
    assert loaded & heavy == set()
    assert "agent.client" in loaded
