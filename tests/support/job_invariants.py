"""What must hold of the jobs in a ledger: looks for invariants.py."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec

from domain.events import Envelope
from domain.job import fold
from projections.jobs import row as product_row
from store import mapper
from tests.support import naive, naive_jobs


class Seen(Protocol):
    """Everything in a ledger's database at one moment (invariants.Snapshot)."""

    log: list[dict[str, Any]]

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """What a query returns."""
        ...


def _read_model(seen: Seen) -> Iterator[str]:
    log = [event for event in seen.log if naive_jobs.is_job(event)]
    expected = naive_jobs.rows(log)
    for row in expected.values():
        row.pop("times", None)
    found = {
        row["id"]: row | {name: row[name].hex() for name in ("definition", "configuration")}
        for row in seen.rows("SELECT * FROM read.jobs_1")
    }
    yield from _compare("the naive fold", expected, found)
    folded = {}
    for stream_id in expected:
        stream = [event for event in log if event["stream_id"] == stream_id]
        try:
            state = fold([_envelope(event) for event in stream])
        except mapper.UnreadableEvent as error:
            yield f"job {stream_id}: {error}"
            continue
        if state is not None:
            folded[stream_id] = msgspec.structs.asdict(product_row(state, stream[-1]["position"]))
    yield from _compare("the product's own fold", folded, found)


def _envelope(event: naive.Event) -> Envelope:
    return Envelope(
        originator_id=event["stream_id"],
        originator_version=event["version"],
        at=event["occurred_at"],
        actor=event["actor"],
        command_id=event["command_id"],
        correlation_id=event["correlation_id"],
        event=mapper.decode(event["type"], event["schema_version"], event["payload"]),
    )


def _compare(
    by: str, expected: dict[UUID, dict[str, Any]], found: dict[UUID, dict[str, Any]]
) -> Iterator[str]:
    for one in expected.keys() ^ found.keys():
        yield f"job {one}: by {by} it is in the read model, or should be, and not both"
    for one in expected.keys() & found.keys():
        if expected[one] != found[one]:
            names = [name for name in found[one] if found[one][name] != expected[one].get(name)]
            yield f"job {one}: {names} are not as by {by}"


def _streams(seen: Seen) -> Iterator[str]:
    for event in seen.log:
        if event["type"] == "job.created":
            job_id = naive.payload(event)["job_id"]
            if naive_jobs.stream_of(job_id) != event["stream_id"]:
                yield f"stream {event['stream_id']}: is not that of its job {job_id}"
    kinds = Counter(
        stream_id for stream_id, _ in {(e["stream_id"], naive_jobs.is_job(e)) for e in seen.log}
    )
    for stream_id, count in kinds.items():
        if count > 1:
            yield f"stream {stream_id}: has events of a job and of an execution"


def _bodies(seen: Seen) -> Iterator[str]:
    sizes = {
        row["digest"].hex(): row["bytes"]
        for row in seen.rows("SELECT digest, octet_length(body) AS bytes FROM store.configurations")
    }
    gone = naive.erased_configurations(seen.log)
    for event in seen.log:
        if event["type"] in {"job.created", "job.changed"}:
            for name in ("definition", "configuration"):
                said = naive.payload(event)[name]
                if said["sha256"] in gone and said["sha256"] not in sizes:
                    continue
                if sizes.get(said["sha256"]) != said["bytes"]:
                    yield f"stream {event['stream_id']}: its {name} is missing or of other size"


LOOKS: Final = (_read_model, _streams, _bodies)
