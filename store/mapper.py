"""Events to stored bytes and back.

The stored name of an event is the tag of its Struct, never an import path; the payload is compact
JSON, kept byte for byte.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args
from uuid import UUID

import msgspec

from domain.events import Event
from store.upcast import UPCASTERS, Upcasters, upcast

# Raised by one when the shape of an event changes, together with an upcaster.
SCHEMA_VERSIONS: Final[dict[str, int]] = {
    str(event.__struct_config__.tag): 1 for event in get_args(Event)
}

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Event)
_TAGS: Final = {event: str(event.__struct_config__.tag) for event in get_args(Event)}
# Types and versions whose payloads are decoded as they are.
_PLAIN: Final = frozenset(SCHEMA_VERSIONS.items() - UPCASTERS.keys())


class UnreadableEvent(Exception):
    """A stored event that this version cannot read; its stream must be left alone."""

    def __init__(self, stream_id: UUID | None, event_type: str, reason: str) -> None:
        self.stream_id = stream_id
        super().__init__(f"{event_type}: {reason}")


def encode(event: Event) -> tuple[str, int, bytes]:
    """Return the stored name, the schema version and the payload of `event`."""
    event_type = str(event.__struct_config__.tag)
    return event_type, SCHEMA_VERSIONS[event_type], _encoder.encode(event)


def decode(
    event_type: str,
    schema_version: int,
    payload: bytes | memoryview | str,
    *,
    upcasters: Upcasters = UPCASTERS,
    versions: Mapping[str, int] = SCHEMA_VERSIONS,
    decoder: msgspec.json.Decoder[Any] = _decoder,
    stream_id: UUID | None = None,
) -> Event:
    """Return the event that was stored. Raises `UnreadableEvent`.

    A newer version than is known here is not read, even if its fields would fit: that they mean
    something else is what its number says.
    """
    current = versions.get(event_type)
    if current is None:
        raise UnreadableEvent(stream_id, event_type, "unknown type")
    if schema_version > current:
        reason = f"version {schema_version}, and this server knows {current} at most"
        raise UnreadableEvent(stream_id, event_type, reason)
    try:
        if schema_version == current and (event_type, schema_version) not in upcasters:
            event: Event = decoder.decode(payload)
        else:
            body: dict[str, Any] = msgspec.json.decode(payload)
            body = upcast(upcasters, event_type, schema_version, body)
            event = msgspec.convert(body, decoder.type)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnreadableEvent(stream_id, event_type, str(error)) from error
    if event.__struct_config__.tag != event_type:
        raise UnreadableEvent(stream_id, event_type, "the payload is of another type")
    return event


def decode_all(
    event_types: Sequence[str], schema_versions: Sequence[int], payloads: Sequence[memoryview]
) -> list[Event] | None:
    """Return many events, for half of what `decode` takes for each.

    None says that one of them wants a closer look: `decode` reads it in its own way, or says why
    it cannot be read.
    """
    if not _PLAIN.issuperset(zip(event_types, schema_versions, strict=True)):
        return None
    try:
        events = list(map(_decoder.decode, payloads))
    except ValueError:  # msgspec's errors are such, too
        return None
    return events if [_TAGS[event.__class__] for event in events] == event_types else None
