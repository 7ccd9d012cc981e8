"""Golden events: what was once stored is read for ever, and written the same way by this version.

The files in events/ are only ever added, never edited and never removed: each is a payload that
lies in somebody's ledger. When an event changes its shape, its old files stay, are read through the
upcaster, and a new file shows the new shape.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest

from domain import events
from domain.due_events import TimeSkipped, TimesMissed
from domain.events import BodyDigest, Ending, Event, StreamDigest
from domain.job_events import (
    JobBodiesErased,
    JobChanged,
    JobCreated,
    JobDeleted,
    JobPaused,
    JobResumed,
    Plan,
    RetryPlan,
)
from store import mapper

FOLDER: Final = Path(__file__).parent / "events"
ROOT: Final = UUID("019c1e5a-7c00-7000-8000-000000000001")
TWO: Final = datetime(2026, 1, 31, 2, tzinfo=UTC)
THREE: Final = TWO.replace(hour=3)
CONFIGURATION: Final = BodyDigest(143, "9d" * 32)
EMPTY: Final = StreamDigest(0, 0, "")
SMALL: Final = StreamDigest(21, 21, "c4" * 32)
DEFINITION: Final = BodyDigest(61, "1c" * 32)
PLAN: Final = Plan("0 3 * * *", "Europe/Berlin", 300, "run_once", "allow")
FULL_PLAN: Final = Plan(
    cron="*/5 * * * 1-5",
    timezone="UTC",
    timeout_seconds=3600,
    missed_policy="run_all",
    overlap_policy="cancel_running",
    missed_limit=10,
    max_concurrent=2,
    max_concurrent_per_tag={"db": 3},
    start_deadline_seconds=600,
    jitter_seconds=30,
    pinned_agent_id="host-1",
    labels=("gpu", "ssd"),
    tags=("db", "nightly"),
    retry=RetryPlan(3, (10, 60), 2, 3600, ("exit_code", "timeout"), (75, 111)),
)
CUT: Final = StreamDigest(12_582_912, 10_485_760, "5f" * 32, (5_242_880, 7_340_032), "a0" * 32)

EXPECTED: Final[dict[str, Event]] = {
    "created": events.Created(
        "backup", CONFIGURATION, "scheduled", 300, 1, ROOT, scheduled_for=TWO
    ),
    "created-by-hand": events.Created(
        "job_mlzzozduefjc5hvbcnxjmwtmza",
        CONFIGURATION,
        "manual",
        None,
        1,
        ROOT,
        pinned_agent_id="host-1",
    ),
    "created-as-retry": events.Created(
        "backup", CONFIGURATION, "retry", 300, 2, ROOT, retry_of=ROOT
    ),
    "created-at-a-fraction": events.Created(
        "backup",
        CONFIGURATION,
        "scheduled",
        300,
        1,
        ROOT,
        scheduled_for=TWO.replace(microsecond=123456),
    ),
    "created-with-labels": events.Created(
        "train", CONFIGURATION, "manual", 300, 1, ROOT, labels=("gpu", "ssd")
    ),
    "created-with-deadline": events.Created(
        "report", CONFIGURATION, "manual", 300, 1, ROOT, start_deadline_seconds=600
    ),
    "started": events.Started("host-1"),
    "started-with-odd-name": events.Started("a.b_c:d@e-1"),
    "completed": events.Completed(Ending(1500, SMALL, EMPTY, 0)),
    "completed-failed": events.Completed(Ending(1500, EMPTY, SMALL, 3, failure_reason="exit_code")),
    "completed-by-signal": events.Completed(Ending(1500, CUT, EMPTY, 137, 9, "signal")),
    "completed-not-spawned": events.Completed(
        Ending(
            2,
            EMPTY,
            EMPTY,
            127,
            failure_reason="spawn_failed",
            message=BodyDigest(31, "e7" * 32),
        )
    ),
    "completed-by-shutdown": events.Completed(
        Ending(90_000, SMALL, EMPTY, 143, 15, "agent_shutdown")
    ),
    "completed-masked": events.Completed(Ending(1500, SMALL, EMPTY, 0, masked=True)),
    "not_started": events.NotStarted(),
    "timed_out": events.TimedOut(
        "agent", process_ended=True, ending=Ending(300_250, SMALL, EMPTY, 143, 15)
    ),
    "timed_out-unseen": events.TimedOut(
        "server", process_ended=False, ending=Ending(330_000, SMALL, EMPTY)
    ),
    "cancel_requested": events.CancelRequested(),
    "canceled": events.Canceled(
        "agent", process_ended=True, ending=Ending(5_000, SMALL, EMPTY, 143, 15)
    ),
    "canceled-pending": events.Canceled("server", process_ended=True),
    "canceled-unseen": events.Canceled(
        "server", process_ended=False, ending=Ending(35_000, EMPTY, EMPTY)
    ),
    "lost": events.Lost(
        "server",
        process_ended=False,
        ending=Ending(42_000, SMALL, EMPTY, failure_reason="agent_lost"),
    ),
    "outcome_reported_late": events.OutcomeReportedLate("exited", Ending(61_000, CUT, SMALL, 0)),
    "created-held": events.Created(
        "backup", CONFIGURATION, "scheduled", 300, 1, ROOT, scheduled_for=TWO, held="overlap"
    ),
    "released": events.Released(),
    "schedule-missed": TimesMissed("backup", TWO, THREE, "downtime", 2),
    "schedule-missed-uncounted": TimesMissed("backup", TWO, THREE, "start_deadline"),
    "schedule-skipped": TimeSkipped("backup", TWO, "overlap", ROOT),
    "schedule-skipped-by-nobody": TimeSkipped("backup", TWO, "queue_full"),
    "retried": events.Retried(UUID("019c1e5b-0000-7abc-8def-000000000002")),
    "bodies_erased": events.BodiesErased("requested", output=True),
    "bodies_erased-everything": events.BodiesErased(
        "secret", output=True, messages=True, configuration="9d" * 32
    ),
    "bodies_erased-by-retention": events.BodiesErased("retention", output=True),
    "bodies_erased-of-a-person": events.BodiesErased("personal_data", messages=True),
    "job-created": JobCreated("backup", DEFINITION, CONFIGURATION, PLAN),
    "job-created-in-full": JobCreated("backup", DEFINITION, CONFIGURATION, FULL_PLAN),
    "job-changed": JobChanged(DEFINITION, CONFIGURATION, PLAN),
    "job-changed-to-no-schedule": JobChanged(
        DEFINITION, CONFIGURATION, Plan(None, "UTC", 300, "skip", "queue")
    ),
    "job-paused": JobPaused(),
    "job-resumed": JobResumed(),
    "job-deleted": JobDeleted(),
    "job-bodies_erased": JobBodiesErased("secret", ("9d" * 32, "1c" * 32)),
}


def _stored(name: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / f"{name}.json").read_text()))


@pytest.mark.parametrize("name", EXPECTED)
def test_a_stored_event_is_read_as_it_was_meant(name: str) -> None:
    """The bytes of the file are the event of the table, whatever version stored them."""
    stored = _stored(name)

    read = mapper.decode(stored["type"], stored["schema_version"], stored["payload"].encode())

    assert read == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_an_event_of_todays_shape_is_written_to_the_same_bytes(name: str) -> None:
    """Writing what was read gives the stored name, version and bytes again."""
    stored = _stored(name)
    if stored["schema_version"] != mapper.SCHEMA_VERSIONS[stored["type"]]:
        pytest.skip("an older shape: it is read, and written in a newer one")

    event_type, schema_version, payload = mapper.encode(EXPECTED[name])

    assert (event_type, schema_version, payload.decode()) == tuple(stored.values())


def test_each_event_has_a_golden_file_of_its_current_version() -> None:
    """No event type, and no new version of one, goes without a stored example."""
    shown = {(stored["type"], stored["schema_version"]) for stored in map(_stored, EXPECTED)}

    assert shown >= set(mapper.SCHEMA_VERSIONS.items())


def test_each_golden_file_is_in_the_table() -> None:
    """No file lies there unread."""
    assert {path.stem for path in FOLDER.glob("*.json")} == set(EXPECTED)
