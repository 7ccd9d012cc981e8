"""What may be asked of a job. Each command says when (`at`) and who (`by`) asks.

`stream_id` is the job's stream (ids.job_stream). With `expected_version` the command holds only if
the job is still as the asker saw it.
"""

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from domain.bodies import BodyDigest, ErasureReason
from domain.job_events import Plan


class AboutJob(Struct, frozen=True):
    """What all of them say."""

    at: datetime
    by: str
    command_id: UUID
    stream_id: UUID


class CreateJob(AboutJob, frozen=True):
    """Define a job."""

    job_id: str
    definition: BodyDigest
    configuration: BodyDigest
    plan: Plan
    is_enabled: bool = True


class ChangeJob(AboutJob, frozen=True):
    """Make the job another; all of it, as it is to be. `is_enabled` is None to leave that alone."""

    definition: BodyDigest
    configuration: BodyDigest
    plan: Plan
    is_enabled: bool | None = None
    expected_version: int | None = None


class PauseJob(AboutJob, frozen=True):
    """Let the job be due no more, until it is resumed."""

    expected_version: int | None = None


class ResumeJob(AboutJob, frozen=True):
    """Let the job be due again."""

    expected_version: int | None = None


class DeleteJob(AboutJob, frozen=True):
    """End the job; what it ran stays."""

    expected_version: int | None = None


class RunJob(AboutJob, frozen=True):
    """Run the job now, enabled or paused: create the execution `new_id` of it."""

    new_id: UUID
    expected_version: int | None = None


class EraseJob(AboutJob, frozen=True):
    """Erase texts that the job had, by their digests; those that it has now stay.

    Of a deleted job all may go.
    """

    reason: ErasureReason
    bodies: tuple[str, ...]
    expected_version: int | None = None


JobCommand: TypeAlias = CreateJob | ChangeJob | PauseJob | ResumeJob | DeleteJob | RunJob | EraseJob
