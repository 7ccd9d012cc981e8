"""Rules of names."""

import pytest

from domain.names import agent_id_of, is_name


@pytest.mark.parametrize(
    ("host_name", "agent_id"),
    [
        ("web-1.example", "web-1.example"),
        ("my_host é", "my_host--"),
        ("-odd", "local"),
        ("", "local"),
        ("a" * 200, "a" * 128),
    ],
)
def test_every_machine_has_an_agent_id(host_name: str, agent_id: str) -> None:
    """The host's name, with what no name may hold replaced."""
    assert agent_id_of(host_name) == agent_id
    assert is_name(agent_id)


@pytest.mark.parametrize("text", ["", "a b", "-a", "a\n", "é", "a" * 129])
def test_what_is_no_name(text: str) -> None:
    """The same rule as the server's for what travels."""
    assert not is_name(text)
