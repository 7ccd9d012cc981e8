"""Our recorder keeps the promises of the eventsourcing library: its own test cases, run on ours."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from eventsourcing.application import Repository
from eventsourcing.persistence import EventStore, IntegrityError, StoredEvent
from eventsourcing.postgres import PostgresDatastore
from eventsourcing.tests.persistence import (
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
)
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from domain.commands import Create
from domain.events import BodyDigest
from domain.execution import Execution, evolve
from domain.execution_rules import decide
from store import chain
from store.chain import EventRow
from store.recorder import LedgerMapper, LedgerRecorder
from tests.support.postgres import Database


def datastore(database: Database) -> PostgresDatastore:
    """The library's connections to a ledger, with the rights of a server."""
    info = conninfo_to_dict(database.conninfo)
    return PostgresDatastore(
        dbname=str(info["dbname"]),
        host=str(info["host"]),
        port=str(info["port"]),
        user=str(info["user"]),
        password=str(info["password"]),
        pool_size=3,
        max_overflow=12,
        connect_timeout=30,
        schema="ledger",
    )


class _OnALedger:
    """Gives the library's test cases a recorder on a fresh ledger."""

    @pytest.fixture(autouse=True)
    def _ledger(self, database: Database) -> Iterable[None]:
        self._database = database
        self._datastore = datastore(database)
        yield
        self._datastore.close()

    def create_recorder(self) -> LedgerRecorder:
        """Return a recorder, as the library's test cases ask for one."""
        return LedgerRecorder(self._datastore, self._database.ledger_id)


class TestRecorder(_OnALedger, ApplicationRecorderTestCase[LedgerRecorder]):
    """Inserts, selects, conflicts, concurrency and subscriptions, as the library tests its own."""


class TestOrder(_OnALedger, NonInterleavingNotificationIDsBaseCase):
    """Events of one insert stand together, whoever else inserts."""


@pytest.fixture
def recorder(database: Database) -> Iterable[LedgerRecorder]:
    """A recorder on a fresh ledger."""
    connections = datastore(database)
    yield LedgerRecorder(connections, database.ledger_id)
    connections.close()


def _created(execution_id: UUID) -> Any:
    (envelope,) = decide(
        None,
        Create(
            at=datetime(2026, 1, 31, 12, tzinfo=UTC),
            by="operator:test",
            command_id=uuid4(),
            execution_id=execution_id,
            job_id="backup",
            configuration=BodyDigest(2, "ab" * 32),
            triggered_by="manual",
            timeout_seconds=300,
        ),
    )
    return envelope


def test_a_gap_in_a_stream_is_refused(recorder: LedgerRecorder) -> None:
    """A version that leaves a gap in its stream is a conflict, and nothing of its batch stays."""
    stream = uuid4()
    first, third = (StoredEvent(stream, version, "topic", b"{}") for version in (1, 3))
    with pytest.raises(IntegrityError, match="version 3 cannot follow"):
        recorder.insert_events([first, third])
    assert recorder.select_events(stream) == []


def test_the_librarys_repository_folds_with_our_rules(recorder: LedgerRecorder) -> None:
    """Given stored events, the library's repository rebuilds the state that our fold gives."""
    execution_id = uuid4()
    envelope = _created(execution_id)
    mapper = LedgerMapper()
    recorder.insert_events([mapper.to_stored_event(envelope)])
    repository: Repository[UUID] = Repository(EventStore(mapper, recorder))

    def project(state: Execution | None, history: Iterable[Any]) -> Execution | None:
        for happened in history:
            state = evolve(state, happened)
        return state

    found = repository.get(execution_id, projector_func=project)

    assert evolve(None, envelope) == found


def test_metadata_survives_the_recorder(recorder: LedgerRecorder) -> None:
    """An envelope that is stored through the library comes back with all that it says."""
    envelope = _created(uuid4())
    mapper = LedgerMapper()
    recorder.insert_events([mapper.to_stored_event(envelope)])
    (notification,) = recorder.select_notifications(start=1, limit=10)
    assert msgspec.structs.asdict(envelope) == msgspec.structs.asdict(
        mapper.to_domain_event(notification)
    )


def test_the_chain_holds_for_what_the_recorder_wrote(
    recorder: LedgerRecorder, database: Database
) -> None:
    """Positions, commits and leaf hashes of the recorder are those of the ledger."""
    mapper = LedgerMapper()
    for _ in range(3):
        recorder.insert_events([mapper.to_stored_event(_created(uuid4())) for _ in range(4)])
    columns = sql.SQL(", ").join(map(sql.Identifier, EventRow.__struct_fields__))
    with database.as_server() as connection:
        statement = sql.SQL("SELECT {} FROM ledger.events ORDER BY position").format(columns)
        rows = [EventRow(*row) for row in connection.execute(statement)]

    previous = chain.beginning(database.ledger_id).leaf_hash
    for position, row in enumerate(rows, 1):
        assert (position, (position + 3) // 4) == (row.position, row.commit_number)
        assert chain.leaf_hash(row, previous) == row.leaf_hash
        previous = row.leaf_hash
    assert len(rows) == 12
