"""How an event changes its shape: a worked example, and the steps by themselves.

The example makes `Created` once more, as a version 2 that the product does not need: trigger and
schedule become one object, and `attempt`, which began at 1, becomes `retries`, which begins at 0.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final, final
from uuid import UUID

import msgspec
import pytest
from msgspec import Struct

from domain.events import BodyDigest, TriggeredBy
from store import mapper, upcast
from store.mapper import UnreadableEvent
from store.upcast import Upcasters

_GOLDEN: Final = Path(__file__).parents[2] / "golden" / "events"


class Trigger(Struct, frozen=True, omit_defaults=True):
    """What set an execution off."""

    by: TriggeredBy
    scheduled_for: datetime | None = None


@final
class Created(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="execution.created"):
    """Version 2: the tag, which is the stored name, stays."""

    job_id: str
    configuration: BodyDigest
    trigger: Trigger
    timeout_seconds: int | None
    retries: int
    root_id: UUID
    retry_of: UUID | None = None
    pinned_agent_id: str | None = None
    labels: tuple[str, ...] = ()
    start_deadline_seconds: int | None = None


def _created_2(body: dict[str, Any]) -> dict[str, Any]:
    """Version 1 to 2: what it said, in other words."""
    trigger = {"by": body.pop("triggered_by")}
    if "scheduled_for" in body:
        trigger["scheduled_for"] = body.pop("scheduled_for")
    return body | {"trigger": trigger, "retries": body.pop("attempt") - 1}


UPCASTERS: Final[Upcasters] = {("execution.created", 1): _created_2}
VERSIONS: Final = {"execution.created": 2}
DECODER: Final = msgspec.json.Decoder(Created)


def _read(version: int, payload: bytes) -> Any:
    return mapper.decode(
        "execution.created",
        version,
        payload,
        upcasters=UPCASTERS,
        versions=VERSIONS,
        decoder=DECODER,
    )


@pytest.mark.parametrize("path", sorted(_GOLDEN.glob("created*.json")), ids=lambda path: path.stem)
def test_every_old_payload_is_read_in_the_new_shape(path: Path) -> None:
    """Given payloads of version 1, as they lie in ledgers, version 2 says the same of them."""
    payload = json.loads(path.read_text())["payload"].encode()
    old = json.loads(payload)

    read = _read(1, payload)

    assert isinstance(read, Created)
    assert (read.trigger.by, read.retries) == (old["triggered_by"], old["attempt"] - 1)
    assert (read.trigger.scheduled_for is None) == ("scheduled_for" not in old)
    assert (read.job_id, read.labels) == (old["job_id"], tuple(old.get("labels", ())))
    assert _read(2, msgspec.json.encode(read)) == read


def test_a_server_of_the_former_version_leaves_the_new_shape_alone() -> None:
    """What version 2 says is no event to one who knows version 1, which writes nothing after it."""
    new = msgspec.json.encode(
        Created("backup", BodyDigest(1, "00"), Trigger("manual"), None, 0, UUID(int=1))
    )

    with pytest.raises(UnreadableEvent, match="version 2"):
        mapper.decode("execution.created", 2, new)


def test_upcasting_stops_at_the_last_version() -> None:
    """Each step runs once, in order, and a version without a step is today's."""
    steps = {("e", 1): lambda body: body | {"one": True}, ("e", 2): lambda body: body | {"two": 1}}

    assert upcast.upcast(steps, "e", 1, {}) == {"one": True, "two": 1}
    assert upcast.upcast(steps, "e", 2, {}) == {"two": 1}
    assert upcast.upcast(steps, "e", 3, {}) == {}
    assert upcast.upcast(steps, "other", 1, {}) == {}
