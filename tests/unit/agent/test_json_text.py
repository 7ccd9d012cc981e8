"""Rules of the JSON that `exec` reads and writes: it is that of the module `json`."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.json_text import dumps, loads

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(document=DOCUMENTS)
def test_the_text_is_the_standard_librarys(document: object) -> None:
    """Written letter by letter, and read again as text and as bytes."""
    text = dumps(document)
    assert text == json.dumps(document)
    assert loads(text) == document
    assert loads(f" {text}\r\n".encode()) == document


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", '{"a": 1', "[1,]", "nothing", "{} {}", '"\n"', "\ufeff{}", b"\xff", b"{\xff}"],
)
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    """As one kind of error, whatever is wrong."""
    with pytest.raises(ValueError):  # noqa: PT011 - which of them says what is not ours
        loads(text)


def test_what_json_cannot_say_is_refused() -> None:
    """Nothing is written then."""
    with pytest.raises(TypeError):
        dumps({"a": object()})
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(ValueError, match=r"[Cc]ircular"):
        dumps(circle)


def test_a_python_without_the_code_in_c_takes_the_module() -> None:
    """As slowly as it may be, `exec` runs there too."""
    asked = (
        "import sys; sys.modules['_json'] = None; sys.path.insert(0, ''); "
        "from agent.json_text import dumps, loads; print(loads(dumps({'a': 1})), dumps.__module__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout == "{'a': 1} json\n"
