"""A ledger with as many events as asked for, written by COPY: lives that overlap."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
from msgspec.structs import replace

from domain import ids
from domain.events import Completed, Created, Ending, Event, Started, StreamDigest
from store import chain, mapper
from store.chain import Commit, NewEvent
from store.configurations import Job, seal
from store.keys import Keys

_TOGETHER: Final = 50
_COLUMNS: Final = (
    "position, commit_number, occurred_at, recorded_at, ledger_id, stream_id, command_id,"
    " correlation_id, version, schema_version, type, actor, payload, leaf_hash"
)
_COPY: Final = f"COPY ledger.events ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_TYPES: Final = (
    *("int8", "int8", "timestamptz", "timestamptz", "uuid", "uuid", "uuid", "uuid"),
    *("int4", "int2", "text", "text", "bytea", "bytea"),
)
_QUIET: Final = StreamDigest(0, 0, "")


def seed(conninfo: str, ledger_id: UUID, keys: Keys, events: int) -> None:
    """Fill an empty ledger, as its owner. The read models are left for a rebuild."""
    with psycopg.connect(conninfo) as connection:
        jobs = [Job(f"job-{n}", f"nightly-{n}", "true", 300) for n in range(100)]
        for job in jobs:
            stored, _ = seal(job, keys)
            connection.execute(
                "INSERT INTO store.configurations VALUES (%s, %b, %b) ON CONFLICT DO NOTHING",
                [bytes.fromhex(stored.digest), stored.salt, stored.body],
            )
        with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.set_types(_TYPES)
            for commit in _commits(ledger_id, keys, jobs, events):
                for row in _rows(commit):
                    copy.write_row(row)
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE ledger.events")


def _rows(commit: Commit) -> Iterator[tuple[Any, ...]]:
    for e in commit.events:
        yield (
            *(e.position, commit.commit_number, e.occurred_at, commit.recorded_at),
            *(commit.ledger_id, e.stream_id, e.command_id, e.correlation_id),
            *(e.version, e.schema_version, e.type, e.actor, e.payload, e.leaf_hash),
        )


def _commits(ledger_id: UUID, keys: Keys, jobs: list[Job], events: int) -> Iterator[Commit]:
    chance, head = random.Random(7), chain.beginning(ledger_id)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    digests = [seal(job, keys)[1] for job in jobs]
    while head.position < events:
        size = min(_TOGETHER, -(-(events - head.position) // 3))
        now += timedelta(seconds=1)
        moment = int(now.timestamp() * 1_000_000_000)
        new_id = ids.Uuid7(_always(moment), chance.getrandbits)
        streams = [(new_id(), chance.randrange(len(jobs))) for _ in range(size)]
        for version in (1, 2, 3):
            new = [
                _event(
                    stream,
                    version,
                    now,
                    new_id(),
                    _told(stream, version, jobs[n], digests[n], chance),
                )
                for stream, n in streams
            ][: events - head.position]
            if new:
                commit, head = chain.extend(head, ledger_id, now, new, head.commit_number + 1)
                yield commit


def _always(moment: int) -> Callable[[], int]:
    return lambda: moment


def _told(stream: UUID, version: int, job: Job, digest: Any, chance: random.Random) -> Event:
    if version == 1:
        return Created(job.job_id, digest, "scheduled", 300, 1, stream, scheduled_for=None)
    if version == 2:
        return Started("host-1")
    code = chance.choice([0] * 19 + [1])
    ending = Ending(chance.randrange(60_000), _QUIET, _QUIET, exit_code=code)
    if code:
        ending = replace(ending, failure_reason="exit_code")
    return Completed(ending)


def _event(stream: UUID, version: int, at: datetime, command_id: UUID, told: Event) -> NewEvent:
    event_type, schema_version, payload = mapper.encode(told)
    return NewEvent(
        stream_id=stream,
        version=version,
        type=event_type,
        schema_version=schema_version,
        occurred_at=at,
        actor="agent:bench",
        command_id=command_id,
        correlation_id=stream,
        payload=payload,
    )
