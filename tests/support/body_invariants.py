"""What must hold of bodies: each is what the events say of it, unless they say it was erased."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from tests.support import naive

if TYPE_CHECKING:
    from tests.support.invariants import Snapshot

_PREVIEW_BYTES: Final = 4096


def bodies(seen: "Snapshot") -> Iterator[str]:
    """Configurations and messages are what the events say, or erased."""
    stored = seen.rows("SELECT * FROM store.configurations")
    sizes = {}
    gone = naive.erased_configurations(seen.log)
    for row in stored:
        sizes[row["digest"].hex()] = len(row["body"])
        if hashlib.sha256(row["salt"] + row["body"]).digest() != row["digest"]:
            yield f"configuration {row['digest'].hex()}: is not what its digest says"
    for event in seen.log:
        if naive.short(event) == "created":
            said = naive.payload(event)["configuration"]
            if said["sha256"] in gone and said["sha256"] not in sizes:
                continue
            if sizes.get(said["sha256"]) != said["bytes"]:
                yield f"stream {event['stream_id']}: its configuration is missing or of other size"
    kept = {
        (row["execution_id"], row["version"]): {
            "bytes": len(row["body"]),
            "sha256": hashlib.sha256(row["salt"] + row["body"]).hexdigest(),
        }
        for row in seen.rows("SELECT * FROM store.messages")
    }
    said_of = {
        (event["stream_id"], event["version"]): ending["message"]
        for event, ending in seen.endings()
        if "message" in ending
        and event["version"] > naive.erased_at(seen.streams[event["stream_id"]], "messages")
    }
    for where in kept.keys() | said_of.keys():
        if kept.get(where) != said_of.get(where):
            yield f"message of {where}: is not what its event says"


def outputs(seen: "Snapshot") -> Iterator[str]:
    """Output is what the events say, or erased."""
    chunks = defaultdict(list)
    for row in seen.rows("SELECT * FROM store.output_chunks ORDER BY 1, 2, start_offset"):
        chunks[row["execution_id"], row["stream"]].append((row["start_offset"], row["bytes"]))
    streams = {
        (row["execution_id"], row["stream"]): row
        for row in seen.rows("SELECT * FROM store.outputs")
    }
    erased = {one: naive.erased_at(stream, "output") for one, stream in seen.streams.items()}
    for place in chunks.keys() | streams.keys():
        if erased.get(place[0]):
            yield from _wrong_erased(place, streams.get(place), chunks[place])
            continue
        wrong = _wrong_stream(streams.get(place), chunks[place], place[1])
        if wrong:
            yield f"output {place}: {wrong}"
    for event, ending in seen.endings():
        for number, name in ((1, "stdout"), (2, "stderr")):
            place, said = (event["stream_id"], number), ending[name]
            if event["version"] < erased[event["stream_id"]]:
                continue
            whole = b"".join(data for _, data in chunks[place])
            kept = whole[: said["kept_bytes"]]
            salt = streams[place]["salt"] if place in streams else b""
            hashed = hashlib.sha256(salt + kept).hexdigest() if said["kept_bytes"] else ""
            if (said["kept_sha256"], said["kept_bytes"]) != (hashed, len(kept)):
                yield f"output {place}: is not what the event at {event['position']} says"


def _wrong_erased(place: Any, row: dict[str, Any] | None, chunks: Sequence[Any]) -> Iterator[str]:
    if row is None or row["erased_at"] is None:
        yield f"output {place}: was erased, and does not say so"
    elif chunks or row["preview"] or row["salt"] or row["kept_bytes"]:
        yield f"output {place}: was erased, and is not gone"


def _wrong_stream(
    row: dict[str, Any] | None, chunks: Sequence[tuple[int, bytes]], number: int
) -> str | None:
    if row is None:
        return "has chunks without a stream"
    if row["erased_at"] is not None:
        return "is marked as erased, which no event says"
    offset = 0
    for start, data in chunks:
        if start == row["omitted_to"] and offset == row["omitted_from"]:
            offset = start
        if start != offset:
            return f"a chunk begins at {start}, not at {offset}"
        offset += len(data)
    whole = b"".join(data for _, data in chunks)
    if row["omitted_to"] is not None:
        offset = max(offset, row["omitted_to"])
    if (row["next_offset"], row["kept_bytes"]) != (offset, len(whole)):
        return f"should end at {offset} with {len(whole)} kept bytes"
    preview = whole[:_PREVIEW_BYTES] if number == 1 else whole[-_PREVIEW_BYTES:]
    return None if row["preview"] == preview else "its preview is another text"
