"""Given, when, then for jobs: what had happened, what is asked, what happens because of it."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace

from domain import ids, job_commands, job_events
from domain.bodies import BodyDigest
from domain.events import Envelope
from domain.job import CronJob, fold
from domain.job_commands import JobCommand
from domain.job_events import JobEvent, Plan
from tests.unit.domain.histories import COMMAND, JOB, NOON, OTHER

STREAM: Final = ids.job_stream("backup")
DEFINITION: Final = BodyDigest(bytes=60, sha256="cd" * 32)
PLAN: Final = Plan("0 3 * * *", "Europe/Berlin", 300, "run_once", "allow")
LATER: Final = replace(PLAN, cron="0 4 * * *")
TAGGED: Final = replace(PLAN, tags=("db",), pinned_agent_id="host-1", labels=("gpu",))

CREATED: Final = job_events.JobCreated("backup", DEFINITION, JOB, PLAN)
CHANGED: Final = job_events.JobChanged(DEFINITION, JOB, LATER)
PAUSED: Final = job_events.JobPaused()
RESUMED: Final = job_events.JobResumed()
DELETED: Final = job_events.JobDeleted()
ERASED: Final = job_events.JobBodiesErased("secret", ("00" * 32,))

HISTORIES: Final[dict[str, tuple[JobEvent, ...]]] = {
    "nothing": (),
    "enabled": (CREATED,),
    "changed": (CREATED, CHANGED),
    "paused": (CREATED, PAUSED),
    "resumed": (CREATED, PAUSED, RESUMED),
    "deleted": (CREATED, DELETED),
    "deleted while paused": (CREATED, PAUSED, DELETED),
    "created again": (CREATED, DELETED, CREATED),
}

_STAMP: Final[dict[str, Any]] = {
    "at": NOON,
    "by": "operator:tok_1",
    "command_id": COMMAND,
    "stream_id": STREAM,
}


def given(*happened: JobEvent) -> CronJob | None:
    """The state after these events, a second each."""
    return fold(
        Envelope(
            originator_id=STREAM,
            originator_version=version,
            at=NOON + timedelta(seconds=version),
            actor="operator:tok_1",
            command_id=UUID(int=version),
            correlation_id=STREAM,
            event=event,
        )
        for version, event in enumerate(happened, 1)
    )


def create(**said: Any) -> job_commands.CreateJob:
    """The request from which all histories here began."""
    facts: dict[str, Any] = {
        "job_id": "backup",
        "definition": DEFINITION,
        "configuration": JOB,
        "plan": PLAN,
    }
    return job_commands.CreateJob(**_STAMP, **(facts | said))


def change(**said: Any) -> job_commands.ChangeJob:
    """A request that gives the job other times."""
    facts: dict[str, Any] = {"definition": DEFINITION, "configuration": JOB, "plan": LATER}
    return job_commands.ChangeJob(**_STAMP, **(facts | said))


def pause(**said: Any) -> job_commands.PauseJob:
    """A request to pause."""
    return job_commands.PauseJob(**_STAMP, **said)


COMMANDS: Final[dict[str, JobCommand]] = {
    "create": create(),
    "create paused": create(is_enabled=False),
    "change": change(),
    "change nothing": change(plan=PLAN),
    "change and pause": change(is_enabled=False),
    "change and enable": change(is_enabled=True),
    "pause": pause(),
    "resume": job_commands.ResumeJob(**_STAMP),
    "delete": job_commands.DeleteJob(**_STAMP),
    "erase": job_commands.EraseJob(
        **_STAMP, reason="secret", bodies=("00" * 32, JOB.sha256, DEFINITION.sha256)
    ),
    "run": job_commands.RunJob(**_STAMP, new_id=OTHER),
}
