"""Old payloads brought to today's shape.

An upcaster takes the decoded JSON of one event type at one schema version and returns that of the
next version. Stored bytes never change; only what is read from them does.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

Upcaster: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
Upcasters: TypeAlias = Mapping[tuple[str, int], Upcaster]

# Nothing has changed shape yet. The key is (event type, schema version that is read).
UPCASTERS: Final[Upcasters] = {}


def upcast(
    upcasters: Upcasters, event_type: str, schema_version: int, body: dict[str, Any]
) -> dict[str, Any]:
    """Return `body` after every upcaster from `schema_version` on."""
    while (step := upcasters.get((event_type, schema_version))) is not None:
        body = step(body)
        schema_version += 1
    return body
