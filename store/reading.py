"""What a batch must know, read under the append lock: few round trips, and only what it needs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import pq

from domain.commands import Erase
from domain.due import former_configurations
from domain.due_commands import Settle
from domain.job_commands import EraseJob
from domain.streams import State, streams_of
from store import changes, sql
from store.chain import Head
from store.changes import Positions
from store.rooms import Activity, crowded
from store.roundtrip import RoundTrips, array
from store.states import KnownEvent, States, known_histories
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
        "configurations",
        "schedules",
        "activity",
    )
} | changes.STATEMENTS
# More candidates than claims, for those that turn out not to be claimable.
_SPARE: Final = 8
# Above that, what others recorded is not followed event by event.
_NEWS_MAX: Final = 1000


class Candidate(Struct, frozen=True):
    """A pending execution that some claim of this batch may take, if its agent has the labels."""

    execution_id: UUID
    pinned_agent_id: str | None
    labels: Sequence[str] | None = None


class KnownConfiguration(Struct, frozen=True):
    """Whether a configuration is stored, and whether a pending execution waits with it."""

    digest: str
    is_stored: bool
    is_awaited: bool


class BatchRead(Struct, frozen=True):
    """What was read under the lock. `known` needed no reading; `events` are other histories.

    `positions` are those of the read models, if others may have recorded since.
    """

    now: datetime
    head: Head | None
    events: Sequence[KnownEvent] = ()
    answers: Sequence[KeptAnswer] = ()
    candidates: Sequence[Candidate] = ()
    known: Sequence[State] = ()
    positions: Positions | None = None
    configurations: Sequence[KnownConfiguration] = ()
    settled: Sequence[tuple[UUID, datetime]] = ()
    activity: Sequence[Activity] = ()


class OtherHistory(Exception):
    """The database does not hold what this server saw in it before."""


async def read(
    trips: RoundTrips, works: Sequence[Work], states: States, seen: Head | None
) -> BatchRead:
    """Begin, take the lock, and return what `works` need.

    What the last batches were about stands in `states`, good as of `seen`, the last head that this
    server saw, so that mostly a look at the head is enough. Raises `OtherHistory` if the log is
    shorter than it was, or another.
    """
    streams = {stream for work in works for stream in _streams(work)}
    settles = {w.command.stream_id for w in works if isinstance(w.command, Settle)}
    crowds = {job for work in works if (job := crowded(work.command)) is not None}
    unknown = {stream for stream in streams if states.get(stream) is None}
    keys = [{"token_id": w.key.token_id, "key": w.key.key} for w in works if w.key is not None]
    claims = [w.command for w in works if isinstance(w.command, ClaimNext)]
    agents = Counter(claim.agent_id for claim in claims)
    with_labels = [claim for claim in claims if claim.labels]
    needed = _needed(works)
    if settles:
        needed = _former(works) | needed
    trips.send(b"begin")
    trips.send(b"lock")
    trips.send(b"head", result_format=pq.Format.BINARY)
    if unknown:
        trips.send(b"streams", (array(unknown),), result_format=pq.Format.BINARY)
    if keys:
        trips.send(b"answers", (msgspec.json.encode(keys),), result_format=pq.Format.BINARY)
    _ask_for_candidates(trips, agents, with_labels, states)
    for name, asked in (
        (b"configurations", _digests(needed) if needed else None),
        (b"schedules", (array(settles),) if settles else None),
        (b"activity", (array(crowds),) if crowds else None),
    ):
        if asked is not None:
            trips.send(name, asked, result_format=pq.Format.BINARY)
    _, _, found, *rest = await trips.answers()
    ((now, head),) = trips.rows(found, _clock_and_head)
    events = trips.rows(rest.pop(0), KnownEvent) if unknown else []
    answers = trips.rows(rest.pop(0), KeptAnswer) if keys else []
    candidates = trips.rows(rest.pop(0), Candidate) if agents else []
    candidates += trips.rows(rest.pop(0), Candidate) if with_labels else []
    stored = trips.rows(rest.pop(0), KnownConfiguration) if needed else []
    settled = trips.rows(rest.pop(0), lambda *row: row) if settles else []
    activity = trips.rows(rest.pop(0), Activity) if crowds else []
    positions = await _follow(trips, states, seen, head)
    streams |= {execution_id for one in activity for execution_id in one.ids or ()}
    tried = set(unknown)
    while True:
        streams |= {candidate.execution_id for candidate in candidates}
        missing = {stream for stream in streams - tried if states.get(stream) is None}
        if not missing:
            break
        trips.send(b"streams", (array(missing),), result_format=pq.Format.BINARY)
        (found,) = await trips.answers()
        events += (histories := trips.rows(found, KnownEvent))
        tried |= missing
        if not agents or not states.pass_over(known_histories(histories)[1]):
            break
        # However many of the lowest cannot be read, they keep no agent from the others.
        _ask_for_candidates(trips, agents, with_labels, states)
        several = await trips.answers()
        candidates = [one for found in several for one in trips.rows(found, Candidate)]
    known = [state for stream in streams if (state := states.get(stream)) is not None]
    return BatchRead(
        now, head, events, answers, candidates, known, positions, stored, settled, activity
    )


async def _follow(
    trips: RoundTrips, states: States, seen: Head | None, head: Head | None
) -> Positions | None:
    """Let `states` take in what others have recorded after `seen`.

    Return how far the read models came meanwhile, None if nobody recorded.
    """
    if seen is None or seen.position == 0:
        if head is None:
            return None
        trips.send(b"positions", result_format=pq.Format.BINARY)
        (positions,) = await trips.answers()
        return dict(trips.rows(positions, _position))
    if head is None or head.position < seen.position:
        raise OtherHistory
    if head.position == seen.position:
        if head.leaf_hash != seen.leaf_hash:
            raise OtherHistory
        return None
    most = 1 + _NEWS_MAX
    trips.send(
        b"news",
        (str(seen.position).encode(), str(most + 1).encode()),
        result_format=pq.Format.BINARY,
    )
    trips.send(b"positions", result_format=pq.Format.BINARY)
    found, positions = await trips.answers()
    ((leaf_hash, _), *news) = trips.rows(found, lambda leaf_hash, *row: (leaf_hash, row))
    if leaf_hash != seen.leaf_hash:
        raise OtherHistory
    if len(news) > _NEWS_MAX:
        states.forget()
    else:
        states.follow(KnownEvent(*row) for _, row in news)
    return dict(trips.rows(positions, _position))


def _position(name: str, version: int, position: int) -> tuple[tuple[str, int], int]:
    return (name, version), position


def _ask_for_candidates(
    trips: RoundTrips, agents: Counter[str], with_labels: Sequence[ClaimNext], states: States
) -> None:
    spare = _SPARE + len(states.passed_over)
    if agents:
        trips.send(b"candidates", _places(agents, spare), result_format=pq.Format.BINARY)
    if with_labels:
        trips.send(b"labelled", _labels(with_labels, spare), result_format=pq.Format.BINARY)


def _needed(works: Sequence[Work]) -> dict[str, bool]:
    """Return the configurations that works need, and whether one of them would take it away."""
    needed: dict[str, bool] = {}
    for work in works:
        if work.needed is not None:
            takes = isinstance(work.command, Erase)
            needed[work.needed] = takes or needed.get(work.needed, False)
        if isinstance(work.command, EraseJob):
            needed |= dict.fromkeys(work.command.bodies, True)
    return needed


def _former(works: Sequence[Work]) -> dict[str, bool]:
    """Return the configurations of due times that came before their job was changed."""
    commands = (work.command for work in works if isinstance(work.command, Settle))
    return {digest: False for one in commands for digest in former_configurations(one)}


def _streams(work: Work) -> Iterable[UUID]:
    """Return the streams whose histories decide about `work`, none if there is none yet."""
    return () if isinstance(work.command, ClaimNext) or work.fresh else streams_of(work.command)


def _clock_and_head(
    now: datetime, position: int | None, *rest: Any
) -> tuple[datetime, Head | None]:
    return now, None if position is None else Head(position, *rest)


def _places(agents: Counter[str], spare: int) -> tuple[bytes, ...]:
    """Return how many candidates to read: for anyone, and for each of the claiming agents."""
    # Quoted, since an agent may be called null; a name holds no quotes itself.
    names = ",".join(f'"{agent}"' for agent in agents)
    counts = ",".join(str(n + spare) for n in agents.values())
    return str(agents.total() + spare).encode(), f"{{{names}}}".encode(), f"{{{counts}}}".encode()


def _digests(needed: dict[str, bool]) -> tuple[bytes, ...]:
    """Return the configurations to look for, and of which to ask whether somebody waits."""
    rows = [{"digest": digest, "waits": waits} for digest, waits in needed.items()]
    return (msgspec.json.encode(rows),)


def _labels(claims: Sequence[ClaimNext], spare: int) -> tuple[bytes, ...]:
    """Return what the claiming agents have, for anyone's executions and for their own."""
    asked = {(pin, claim.labels) for claim in claims for pin in ("", claim.agent_id)}
    rows = [{"pin": pin, "labels": sorted(labels)} for pin, labels in asked]
    return msgspec.json.encode(rows), str(len(claims) + spare).encode()
