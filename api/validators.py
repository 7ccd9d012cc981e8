"""ETags: whether a client has the newest representation already."""

import hashlib
from typing import Any, Final

import msgspec
from litestar import Request

from api import parameters, wire
from projections.queries import View

# An answer in another coding is another representation: its tag ends in the coding's name.
_CODINGS: Final = ("-zstd", "-gzip")
_KEY: Final = hashlib.blake2b(
    ",".join(wire.ExecutionDetail.__struct_fields__).encode(), digest_size=32
).digest()


def tag(view: View) -> str | None:
    """Return the strong validator of an execution's details; None while time alone changes them.

    It covers all that may still change of one that has ended: a late outcome, retries, output that
    arrives late, and what was erased; and which fields there are, for after an upgrade.
    """
    if view.row.completed_at is None:
        return None
    said = hashlib.blake2b(msgspec.json.encode(view), key=_KEY, digest_size=16)
    return f'"{said.hexdigest()}"'


def matching(request: Request[Any, Any, Any], current: str) -> str | None:
    """Return the tag that the client sent if what it has is current, whatever the coding."""
    said = parameters.header(request, "if-none-match")
    if said is None:
        return None
    for one in (part.strip() for part in said.split(",")):
        known = one.removeprefix("W/")
        for coding in _CODINGS:
            if known.endswith(f'{coding}"'):
                known = known[: -len(coding) - 1] + '"'
        if known in (current, "*"):
            return current if known == "*" else one
    return None
