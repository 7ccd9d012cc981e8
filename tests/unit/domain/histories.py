"""Given, when, then: what had happened, what is asked, what happens because of it."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace

from domain import commands, events, ids
from domain.commands import Command
from domain.events import BodyDigest, Ending, Envelope, Event, StreamDigest
from domain.execution import Execution, fold

NOON: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)
ONE: Final = UUID("01900000-0000-7000-8000-000000000001")
OTHER: Final = UUID("01900000-0000-7000-8000-000000000002")
FENCE: Final = UUID("01900000-0000-7000-8000-00000000f000")
COMMAND: Final = UUID("01900000-0000-7000-8000-00000000c000")
JOB: Final = BodyDigest(bytes=120, sha256="ab" * 32)
EMPTY: Final = StreamDigest(written_bytes=0, kept_bytes=0, kept_sha256="")

CREATED: Final = events.Created(
    job_id="backup",
    configuration=JOB,
    triggered_by="scheduled",
    timeout_seconds=60,
    attempt=1,
    root_id=ONE,
    scheduled_for=NOON,
)
HURRIED: Final = replace(CREATED, labels=("gpu",), start_deadline_seconds=600)
STARTED: Final = events.Started(agent_id="host-1")
CANCEL_REQUESTED: Final = events.CancelRequested()


def ending(exit_code: int | None = 0, **facts: Any) -> Ending:
    """How a command ended."""
    return Ending(duration_ms=1500, stdout=EMPTY, stderr=EMPTY, exit_code=exit_code, **facts)


FAILED_ENDING: Final = ending(3, failure_reason="exit_code")
SIGNALED: Final = ending(143, signal=15)
UNSEEN: Final = ending(None)
LOST_ENDING: Final = ending(None, failure_reason="agent_lost")

SUCCEEDED: Final = events.Completed(ending())
FAILED: Final = events.Completed(FAILED_ENDING)
TIMED_OUT: Final = events.TimedOut("agent", process_ended=True, ending=SIGNALED)
TIMED_OUT_UNSEEN: Final = events.TimedOut("server", process_ended=False, ending=UNSEEN)
CANCELED: Final = events.Canceled("agent", process_ended=True, ending=SIGNALED)
CANCELED_UNSEEN: Final = events.Canceled("server", process_ended=False, ending=UNSEEN)
CANCELED_PENDING: Final = events.Canceled("server", process_ended=True)
LOST: Final = events.Lost("server", process_ended=False, ending=LOST_ENDING)
LATE: Final = events.OutcomeReportedLate(outcome="exited", ending=ending())
NOT_STARTED: Final = events.NotStarted()
ERASED: Final = events.BodiesErased("secret", output=True, messages=True)
RETRIED: Final = events.Retried(retried_as=OTHER)


def given(*happened: Event) -> Execution | None:
    """The state after these events, a second each."""
    return fold(
        Envelope(
            originator_id=ONE,
            originator_version=version,
            at=NOON + timedelta(seconds=version),
            actor="operator:tok_1",
            command_id=FENCE if isinstance(event, events.Started) else UUID(int=version),
            correlation_id=ONE,
            event=event,
        )
        for version, event in enumerate(happened, 1)
    )


# What had happened, for each state that the rules tell apart.
HISTORIES: Final[dict[str, tuple[Event, ...]]] = {
    "nothing": (),
    "pending": (CREATED,),
    "pending with a deadline": (HURRIED,),
    "not started": (HURRIED, NOT_STARTED),
    "running": (CREATED, STARTED),
    "canceling": (CREATED, STARTED, CANCEL_REQUESTED),
    "succeeded": (CREATED, STARTED, SUCCEEDED),
    "failed": (CREATED, STARTED, FAILED),
    "timed out": (CREATED, STARTED, TIMED_OUT),
    "timed out unseen": (CREATED, STARTED, TIMED_OUT_UNSEEN),
    "canceled while pending": (CREATED, CANCELED_PENDING),
    "canceled": (CREATED, STARTED, CANCEL_REQUESTED, CANCELED),
    "canceled unseen": (CREATED, STARTED, CANCEL_REQUESTED, CANCELED_UNSEEN),
    "lost": (CREATED, STARTED, LOST),
    "lost and told": (CREATED, STARTED, LOST, LATE),
    "timed out and told": (CREATED, STARTED, TIMED_OUT_UNSEEN, LATE),
    "failed and retried": (CREATED, STARTED, FAILED, RETRIED),
    "failed and erased": (CREATED, STARTED, FAILED, ERASED),
    "lost and erased": (CREATED, STARTED, LOST, ERASED),
}

_STAMP: Final[dict[str, Any]] = {
    "at": NOON,
    "by": "operator:tok_1",
    "command_id": COMMAND,
    "execution_id": ONE,
}


def complete(**said: Any) -> commands.Complete:
    """The report of the agent that holds the lease: success, unless told otherwise."""
    facts: dict[str, Any] = {"fence": FENCE, "outcome": "exited", "ending": ending()}
    return commands.Complete(**_STAMP, **(facts | said))


def create(**said: Any) -> commands.Create:
    """The request from which all histories here began."""
    facts: dict[str, Any] = {
        "job_id": "backup",
        "configuration": JOB,
        "triggered_by": "scheduled",
        "timeout_seconds": 60,
        "scheduled_for": NOON,
    }
    return commands.Create(**_STAMP, **(facts | said))


COMMANDS: Final[dict[str, Command]] = {
    "create": create(),
    "create another": create(job_id="restore"),
    "start": commands.Start(**_STAMP, agent_id="host-1"),
    "complete": complete(),
    "complete as failed": complete(ending=ending(3)),
    "complete as timed out": complete(outcome="timed_out", ending=SIGNALED),
    "complete as canceled": complete(outcome="canceled", ending=SIGNALED),
    "complete with another lease": complete(fence=UUID(int=9)),
    "expire": commands.Expire(**_STAMP),
    "cancel": commands.Cancel(**_STAMP),
    "time out": commands.TimeOut(**_STAMP, ending=UNSEEN),
    "lose": commands.Lose(**_STAMP, ending=LOST_ENDING),
    "confirm cancel": commands.ConfirmCancel(**_STAMP, ending=UNSEEN),
    "retry": commands.Retry(**_STAMP, new_id=OTHER),
    "erase": commands.Erase(**_STAMP, reason="secret", output=True, messages=True),
    "erase the configuration": commands.Erase(
        **_STAMP, reason="secret", configuration_of=ids.job_stream(CREATED.job_id)
    ),
}
