"""The ledger's log as the eventsourcing library sees it: a recorder and a mapper.

The library's tools (Application, Repository, notification log, subscriptions) work on the log
through these two: for audits, replays and tests. The server itself appends through appender.py;
both use the same lock, the same chain of positions and hashes, and the same statement.

What is written here does not reach the read model: it is for logs without one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast
from uuid import UUID, uuid4

import msgspec
from eventsourcing.persistence import (
    IntegrityError,
    JSONTranscoder,
    Mapper,
    Notification,
    StoredEvent,
)
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg import Connection
from psycopg.sql import SQL, Composed

from domain.events import Envelope
from store import chain, mapper, sql
from store.appender import APPEND_LOCK
from store.chain import Head, NewEvent
from store.columns import execute
from store.work import Notice
from store.writing import event_parameters

_COLUMNS: Final = SQL(
    "position, stream_id, version, type, payload, occurred_at, actor, command_id, correlation_id,"
    " schema_version"
)


@dataclass(frozen=True)
class RecordedEvent(StoredEvent):
    """A stored event with what the ledger knows of it beside its payload."""

    occurred_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    actor: str = "library:recorder"
    command_id: UUID = field(default_factory=uuid4)
    correlation_id: UUID | None = None
    schema_version: int = 1


@dataclass(frozen=True)
class RecordedNotification(Notification):
    """A notification with what the ledger knows of its event beside the payload."""

    occurred_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    actor: str = "library:recorder"
    command_id: UUID = field(default_factory=uuid4)
    correlation_id: UUID | None = None
    schema_version: int = 1


class LedgerMapper(Mapper[UUID]):
    """Maps envelopes to stored events and back; the topic is the tag of the event's Struct."""

    def __init__(self) -> None:
        super().__init__(JSONTranscoder())

    def to_stored_event(self, domain_event: Any) -> RecordedEvent:
        """Return the stored form of an `Envelope`."""
        envelope = cast("Envelope", domain_event)
        event_type, schema_version, payload = mapper.encode(envelope.event)
        return RecordedEvent(
            originator_id=envelope.originator_id,
            originator_version=envelope.originator_version,
            topic=event_type,
            state=payload,
            occurred_at=envelope.at,
            actor=envelope.actor,
            command_id=envelope.command_id,
            correlation_id=envelope.correlation_id,
            schema_version=schema_version,
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """Return the `Envelope` of a stored event. Raises `UnreadableEvent`."""
        stored = cast("RecordedEvent", stored_event)
        stream_id = cast("UUID", stored.originator_id)
        return Envelope(
            originator_id=stream_id,
            originator_version=stored.originator_version,
            at=stored.occurred_at,
            actor=stored.actor,
            command_id=stored.command_id,
            correlation_id=stored.correlation_id or stream_id,
            event=mapper.decode(
                stored.topic, stored.schema_version, stored.state, stream_id=stream_id
            ),
        )


class LedgerRecorder(PostgresApplicationRecorder):
    """Records events in ``ledger.events``: ordered, gapless, append-only."""

    def __init__(self, datastore: PostgresDatastore, ledger_id: UUID) -> None:
        super().__init__(datastore, events_table_name="events")
        self._ledger_id = ledger_id
        self.channel_name = "cronledger"
        self.max_notification_id_statement = SQL(
            "SELECT max(position) AS max FROM ledger.events"
        ).format()

    def create_table(self) -> None:
        """Do nothing: migrations make the tables."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Append events in one transaction and return their positions.

        Raises `IntegrityError` if a version exists already or would leave a gap.
        """
        with self.datastore.get_connection() as connection:
            connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            try:
                connection.execute("SELECT pg_advisory_xact_lock(%s)", [APPEND_LOCK])
                self._check_versions(connection, stored_events)
                head, now = self._head(connection)
                new = [_new(event) for event in stored_events]
                commit, head = chain.extend(head, self._ledger_id, now, new, head.commit_number + 1)
                execute(connection, sql.named("write_events"), event_parameters(commit))
                notice = msgspec.json.encode(Notice(sender="", position=head.position)).decode()
                connection.execute("SELECT pg_notify('cronledger', %s)", [notice])
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            # At this point the events are durable.
        return [event.position for event in commit.events]

    def _check_versions(
        self, connection: Connection[Any], stored_events: Sequence[StoredEvent]
    ) -> None:
        streams = list({event.originator_id for event in stored_events})
        found = connection.execute(
            "SELECT stream_id, max(version) AS version FROM ledger.events"
            " WHERE stream_id = ANY(%s) GROUP BY stream_id",
            [streams],
        )
        versions = {row["stream_id"]: row["version"] for row in found}
        for event in stored_events:
            # A stream begins at version 1; the library allows 0 as well.
            beginning = min(event.originator_version, 1) - 1
            last = versions.get(event.originator_id, beginning)
            if event.originator_version != last + 1:
                raise IntegrityError(
                    f"stream {event.originator_id} is at version {last}, so that version "
                    f"{event.originator_version} cannot follow"
                )
            versions[event.originator_id] = event.originator_version

    def _head(self, connection: Connection[Any]) -> tuple[Head, datetime]:
        (clock,) = connection.execute("SELECT clock_timestamp() AS now").fetchall()
        row = connection.execute(
            "SELECT position, commit_number, recorded_at, leaf_hash FROM ledger.events"
            " ORDER BY position DESC LIMIT 1"
        ).fetchone()
        return (Head(**row) if row else chain.beginning(self._ledger_id)), clock["now"]

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return the events of one stream in order."""
        statement = SQL(
            "SELECT {columns} FROM ledger.events WHERE stream_id = %(id)s"
            " AND version > coalesce(%(gt)s, -1) AND version <= coalesce(%(lte)s, 2147483647)"
            " ORDER BY version {order} LIMIT %(limit)s"
        ).format(columns=_COLUMNS, order=SQL("DESC" if desc else "ASC"))
        rows = self._rows(statement, {"id": originator_id, "gt": gt, "lte": lte, "limit": limit})
        return [RecordedEvent(**_fields(row)) for row in rows]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Return the whole log in order, from `start` on."""
        statement = SQL(
            "SELECT {columns} FROM ledger.events WHERE position >= %(first)s"
            " AND position <= coalesce(%(stop)s, 9223372036854775807)"
            " AND (%(topics)s::text[] = '{{}}' OR type = ANY(%(topics)s))"
            " ORDER BY position LIMIT %(limit)s"
        ).format(columns=_COLUMNS)
        first = (start or 0) + (0 if inclusive_of_start or start is None else 1)
        rows = self._rows(
            statement, {"first": first, "stop": stop, "topics": list(topics), "limit": limit}
        )
        return [RecordedNotification(id=row["position"], **_fields(row)) for row in rows]

    def _rows(self, statement: Composed, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        with self.datastore.get_connection() as connection:
            return connection.execute(statement, parameters).fetchall()


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "originator_id": row["stream_id"],
        "originator_version": row["version"],
        "topic": row["type"],
        "state": bytes(row["payload"]),
        "occurred_at": row["occurred_at"],
        "actor": row["actor"],
        "command_id": row["command_id"],
        "correlation_id": row["correlation_id"],
        "schema_version": row["schema_version"],
    }


def _new(event: StoredEvent) -> NewEvent:
    known = event if isinstance(event, RecordedEvent) else RecordedEvent(**vars(event))
    stream_id = cast("UUID", known.originator_id)
    return NewEvent(
        stream_id=stream_id,
        version=known.originator_version,
        type=known.topic,
        schema_version=known.schema_version,
        occurred_at=known.occurred_at,
        actor=known.actor,
        command_id=known.command_id,
        correlation_id=known.correlation_id or stream_id,
        payload=known.state,
    )
