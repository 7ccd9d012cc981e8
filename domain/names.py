"""What agents and jobs may be called, and what an agent is called that nobody named.

Without regular expressions, which `exec` would wait for.
"""

NAME_CHARACTERS_MAX = 128
NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}$"  # what a schema says of it
_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_LATER = _FIRST | frozenset("_.:@-")


def is_name(text: str) -> bool:
    """True for letters, digits and ``_ . : @ -``, the first a letter or digit, at most 128."""
    return text[:1] in _FIRST and len(text) <= NAME_CHARACTERS_MAX and _LATER.issuperset(text)


def agent_id_of(host_name: str) -> str:
    """Return the agent id of a machine: its host's name, made into a name if it is none."""
    name = "".join(character if character in _LATER else "-" for character in host_name)
    name = name[:NAME_CHARACTERS_MAX]
    return name if is_name(name) else "local"
