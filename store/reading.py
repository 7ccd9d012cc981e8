"""What a batch must know, read under the append lock: few round trips, and only what it needs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import pq

from domain.due_commands import Settle
from domain.streams import State, streams_of
from store import sql
from store.chain import Head
from store.rooms import Activity, crowded
from store.roundtrip import RoundTrips, array
from store.states import KnownEvent, States
from store.work import ClaimNext, KeptAnswer, Work

STATEMENTS: Final = {
    name.encode(): sql.named(f"read_{name}")
    for name in (
        "head",
        "streams",
        "news",
        "answers",
        "candidates",
        "labelled",
        "schedules",
        "activity",
    )
}
# More candidates than claims, for those that turn out not to be claimable.
_SPARE: Final = 8
# Above that, what others recorded is not followed event by event.
_NEWS_MAX: Final = 1000


class Candidate(Struct, frozen=True):
    """A pending execution that some claim of this batch may take, if its agent has the labels."""

    execution_id: UUID
    pinned_agent_id: str | None
    labels: Sequence[str] | None = None


class BatchRead(Struct, frozen=True):
    """What was read under the lock. `known` needed no reading; `events` are other histories."""

    now: datetime
    head: Head | None
    events: Sequence[KnownEvent] = ()
    answers: Sequence[KeptAnswer] = ()
    candidates: Sequence[Candidate] = ()
    known: Sequence[State] = ()
    settled: Sequence[tuple[UUID, datetime]] = ()
    activity: Sequence[Activity] = ()


class OtherHistory(Exception):
    """The database does not hold what this server saw in it before."""


async def read(
    trips: RoundTrips, works: Sequence[Work], states: States, seen: Head | None
) -> BatchRead:
    """Begin, take the lock, and read what `works` need.

    `states` are good as of `seen`, the last head that this server saw. What the last batches were
    about stands in them, so that mostly a look at the head is enough. Raises `OtherHistory` if the
    log is shorter than it was, or another.
    """
    streams = {stream for work in works for stream in _streams(work)}
    settles = {w.command.stream_id for w in works if isinstance(w.command, Settle)}
    crowds = {job for work in works if (job := crowded(work.command)) is not None}
    unknown = {stream for stream in streams if states.get(stream) is None}
    keys = [{"token_id": w.key.token_id, "key": w.key.key} for w in works if w.key is not None]
    claims = [w.command for w in works if isinstance(w.command, ClaimNext)]
    agents = Counter(claim.agent_id for claim in claims)
    with_labels = [claim for claim in claims if claim.labels]
    trips.send(b"begin")
    trips.send(b"lock")
    trips.send(b"head", result_format=pq.Format.BINARY)
    if unknown:
        trips.send(b"streams", (array(unknown),), result_format=pq.Format.BINARY)
    if keys:
        trips.send(b"answers", (msgspec.json.encode(keys),), result_format=pq.Format.BINARY)
    if agents:
        trips.send(b"candidates", _places(agents), result_format=pq.Format.BINARY)
    if with_labels:
        trips.send(b"labelled", _labels(with_labels), result_format=pq.Format.BINARY)
    if settles:
        trips.send(b"schedules", (array(settles),), result_format=pq.Format.BINARY)
    if crowds:
        trips.send(b"activity", (array(crowds),), result_format=pq.Format.BINARY)
    _, _, found, *rest = await trips.answers()
    ((now, head),) = trips.rows(found, _clock_and_head)
    events = trips.rows(rest.pop(0), KnownEvent) if unknown else []
    answers = trips.rows(rest.pop(0), KeptAnswer) if keys else []
    candidates = trips.rows(rest.pop(0), Candidate) if agents else []
    candidates += trips.rows(rest.pop(0), Candidate) if with_labels else []
    settled = trips.rows(rest.pop(0), lambda *row: row) if settles else []
    activity = trips.rows(rest.pop(0), Activity) if crowds else []
    if seen is not None and seen.position > 0:
        await _follow(trips, states, seen, head)
    streams |= {candidate.execution_id for candidate in candidates}
    streams |= {execution_id for one in activity for execution_id in one.ids or ()}
    missing = {stream for stream in streams - unknown if states.get(stream) is None}
    if missing:
        trips.send(b"streams", (array(missing),), result_format=pq.Format.BINARY)
        (found,) = await trips.answers()
        events += trips.rows(found, KnownEvent)
    known = [state for stream in streams if (state := states.get(stream)) is not None]
    return BatchRead(now, head, events, answers, candidates, known, settled, activity)


async def _follow(trips: RoundTrips, states: States, seen: Head, head: Head | None) -> None:
    """Let `states` take in what others have recorded after `seen`."""
    if head is None or head.position < seen.position:
        raise OtherHistory
    if head.position == seen.position:
        if head.leaf_hash != seen.leaf_hash:
            raise OtherHistory
        return
    most = 1 + _NEWS_MAX
    trips.send(
        b"news",
        (str(seen.position).encode(), str(most + 1).encode()),
        result_format=pq.Format.BINARY,
    )
    (found,) = await trips.answers()
    ((leaf_hash, _), *news) = trips.rows(found, lambda leaf_hash, *row: (leaf_hash, row))
    if leaf_hash != seen.leaf_hash:
        raise OtherHistory
    if len(news) > _NEWS_MAX:
        states.forget()
    else:
        states.follow(KnownEvent(*row) for _, row in news)


def _streams(work: Work) -> Iterable[UUID]:
    """Return the streams whose histories decide about `work`, none if there is none yet."""
    return () if isinstance(work.command, ClaimNext) or work.fresh else streams_of(work.command)


def _clock_and_head(
    now: datetime, position: int | None, *rest: Any
) -> tuple[datetime, Head | None]:
    return now, None if position is None else Head(position, *rest)


def _places(agents: Counter[str]) -> tuple[bytes, ...]:
    """Return how many candidates to read: for anyone, and for each of the claiming agents."""
    # Quoted, since an agent may be called null; a name holds no quotes itself.
    names = ",".join(f'"{agent}"' for agent in agents)
    counts = ",".join(str(n + _SPARE) for n in agents.values())
    return str(agents.total() + _SPARE).encode(), f"{{{names}}}".encode(), f"{{{counts}}}".encode()


def _labels(claims: Sequence[ClaimNext]) -> tuple[bytes, ...]:
    """Return what the claiming agents have, for anyone's executions and for their own."""
    asked = {(pin, claim.labels) for claim in claims for pin in ("", claim.agent_id)}
    rows = [{"pin": pin, "labels": sorted(labels)} for pin, labels in asked]
    return msgspec.json.encode(rows), str(len(claims) + _SPARE).encode()
