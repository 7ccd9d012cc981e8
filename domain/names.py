"""What agents and jobs may be called, and what an agent is called that nobody named."""

import re
from typing import Final

NAME_CHARACTERS_MAX: Final = 128
NAME_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}$"
# In a schema `$` is the very end of the text; in Python it also stands before a last line break.
_NAME: Final = re.compile(NAME_PATTERN[:-1] + r"\Z")
_FOREIGN: Final = re.compile("[^A-Za-z0-9_.:@-]")


def is_name(text: str) -> bool:
    """True for letters, digits and ``_ . : @ -``, the first a letter or digit, at most 128."""
    return _NAME.match(text) is not None


def agent_id_of(host_name: str) -> str:
    """Return the agent id of a machine: its host's name, made into a name if it is none."""
    name = _FOREIGN.sub("-", host_name)[:NAME_CHARACTERS_MAX]
    return name if is_name(name) else "local"
