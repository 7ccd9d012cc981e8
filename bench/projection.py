"""The peer: the eventsourcing library's ProjectionRunner with a row an event, as documented."""

import time
from functools import singledispatchmethod
from typing import Any
from uuid import UUID

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL

from bench import library
from bench.library import Execution, Executions

_UPSERT = SQL(
    "INSERT INTO library_rows VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE"
    " SET version = excluded.version, kind = excluded.kind"
)


class Rows(PostgresTrackingRecorder):
    """A table with a row an execution, written together with the tracking record."""

    def __init__(self, datastore: PostgresDatastore, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)
        self.sql_create_statements.append(
            SQL(
                "CREATE TABLE IF NOT EXISTS library_rows"
                " (id uuid PRIMARY KEY, version integer, kind text)"
            ).format()
        )

    def keep(self, event: DomainEventProtocol[UUID], tracking: Tracking) -> None:
        """Write the row of one event."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            told = [event.originator_id, event.originator_version, type(event).__name__]
            cursor.execute(_UPSERT, told)


class RowsProjection(Projection[Rows]):
    """Processes the events of `library.Executions`."""

    name = "rows"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Keep what the event tells."""
        self.view.keep(domain_event, tracking)


def rate(conninfo: str, events: int) -> float:
    """Write so many events with the library, project them all, and return events per second."""
    with library.application(conninfo, 1) as app:
        while (app.recorder.max_notification_id() or 0) < events:
            batch = [Execution(job_id="job", configuration="0" * 64) for _ in range(200)]
            for one in batch:
                one.start(agent_id="bench")
                one.complete(exit_code=0, duration_ms=1, stdout="", stderr="")
            app.save(*batch)
        last = app.recorder.max_notification_id() or 0
        env = dict(app.env)
    started = time.perf_counter()
    with ProjectionRunner(
        application_class=Executions,
        projection_class=RowsProjection,
        view_class=Rows,
        env=env,
    ) as runner:
        runner.wait(last, timeout=600)
        return last / (time.perf_counter() - started)
