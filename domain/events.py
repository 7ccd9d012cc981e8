"""The facts in the life of an execution.

Each event is a final, frozen Struct; its tag is the name under which it is stored, for ever. Events
hold no free text: the configuration (job name, command, environment) and the output are bodies
that can be erased, and an event names them by length and salted SHA-256 (hexadecimal).

Here and wherever values are many, `gc=False` says that none ever refers to itself, so that the
garbage collector need not look at what the writer remembers.
"""

from datetime import datetime
from typing import Literal, TypeAlias, final
from uuid import UUID

from msgspec import Struct

from domain.bodies import BodyDigest as BodyDigest  # noqa: PLC0414 - its readers know it from here
from domain.bodies import ErasureReason
from domain.due_events import DueEvent
from domain.job_events import JobEvent

TriggeredBy: TypeAlias = Literal["scheduled", "manual", "retry"]
Observer: TypeAlias = Literal["agent", "server"]
# Why a pending execution is not offered to agents yet.
HeldReason: TypeAlias = Literal["overlap", "max_concurrent", "max_concurrent_per_tag"]
Outcome: TypeAlias = Literal["exited", "timed_out", "canceled"]
FailureReason: TypeAlias = Literal[
    "exit_code", "signal", "spawn_failed", "agent_shutdown", "agent_lost", "not_started"
]


@final
class StreamDigest(Struct, frozen=True, gc=False, omit_defaults=True):
    """What an event says of one output stream.

    `kept_sha256` is SHA-256 over the execution's salt and the kept bytes in order of their offset;
    `omitted` is the range [from, to) of original offsets that the cap left out; `written_sha256`
    is the agent's own, unsalted hash of everything that the command wrote (after masking), if it
    said one.
    """

    written_bytes: int
    kept_bytes: int
    kept_sha256: str
    omitted: tuple[int, int] | None = None
    written_sha256: str | None = None


@final
class Ending(Struct, frozen=True, gc=False, omit_defaults=True):
    """How a command ended, as its observer saw it; durations in milliseconds, monotonic.

    Seen by the server (an agent was given up) it holds what had arrived by then, and no exit code.
    `masked` says that the agent hid secrets in the output before it sent any of it.
    """

    duration_ms: int
    stdout: StreamDigest
    stderr: StreamDigest
    exit_code: int | None = None
    signal: int | None = None
    failure_reason: FailureReason | None = None
    message: BodyDigest | None = None
    masked: bool = False


@final
class Created(
    Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", tag="execution.created"
):
    """An execution was asked for and waits for an agent, one that has all of its `labels`.

    After `start_deadline_seconds` it waits no longer. While it is `held` no agent may take it:
    other executions have to end first.
    """

    job_id: str
    configuration: BodyDigest
    triggered_by: TriggeredBy
    timeout_seconds: int | None
    attempt: int
    root_id: UUID
    retry_of: UUID | None = None
    scheduled_for: datetime | None = None
    pinned_agent_id: str | None = None
    labels: tuple[str, ...] = ()
    start_deadline_seconds: int | None = None
    held: HeldReason | None = None


@final
class Released(Struct, frozen=True, gc=False, tag_field="type", tag="execution.released"):
    """The execution was held, and now waits for an agent."""


@final
class Started(Struct, frozen=True, gc=False, tag_field="type", tag="execution.started"):
    """An agent claimed the execution and holds its lease."""

    agent_id: str


@final
class Completed(Struct, frozen=True, gc=False, tag_field="type", tag="execution.completed"):
    """The command ended by itself: success with exit code 0, failed otherwise."""

    ending: Ending


@final
class TimedOut(Struct, frozen=True, gc=False, tag_field="type", tag="execution.timed_out"):
    """The command exceeded its timeout; `process_ended` says whether its end was seen."""

    observed_by: Observer
    process_ended: bool
    ending: Ending


@final
class CancelRequested(
    Struct, frozen=True, gc=False, tag_field="type", tag="execution.cancel_requested"
):
    """Somebody asked to end a running execution; its agent has yet to confirm."""


@final
class Canceled(
    Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", tag="execution.canceled"
):
    """The execution was ended on request; without an ending it had never begun."""

    observed_by: Observer
    process_ended: bool
    ending: Ending | None = None


@final
class Lost(Struct, frozen=True, gc=False, tag_field="type", tag="execution.lost"):
    """The lease ran out: nobody saw the end. Shown as failed with reason agent_lost."""

    observed_by: Observer
    process_ended: bool
    ending: Ending


@final
class NotStarted(Struct, frozen=True, gc=False, tag_field="type", tag="execution.not_started"):
    """No agent took the execution before its start deadline. Shown as failed: not_started."""


@final
class OutcomeReportedLate(
    Struct, frozen=True, gc=False, tag_field="type", tag="execution.outcome_reported_late"
):
    """The agent's true outcome, which came after a final status; the status stands."""

    outcome: Outcome
    ending: Ending


@final
class Retried(Struct, frozen=True, gc=False, tag_field="type", tag="execution.retried"):
    """A new execution with the same configuration was created from this one."""

    retried_as: UUID


@final
class BodiesErased(
    Struct,
    frozen=True,
    gc=False,
    omit_defaults=True,
    tag_field="type",
    tag="execution.bodies_erased",
):
    """Bodies that events of this execution name are gone, in the transaction that says so.

    `output` means all that was kept of stdout and stderr until then, and that nothing is kept of
    what an agent may still send. `messages` means the agent's sentences with the endings before
    this event. `configuration` is the digest of the configuration that went: it is gone for every
    execution that names it, and it is back once a later Created names it again.

    Who checks the ledger tells by this event what was erased from what is missing: a body that an
    earlier event names may be absent if, and only if, such an event says so (of a configuration:
    one of any execution). A body that is there must have the digest that was said, as ever. Digest
    and length stay in the earlier events; the salt goes with the body, so that nobody can try out
    what it may have been.
    """

    reason: ErasureReason
    output: bool = False
    messages: bool = False
    configuration: str | None = None


Event: TypeAlias = (
    Created
    | Started
    | Completed
    | TimedOut
    | CancelRequested
    | Canceled
    | Lost
    | NotStarted
    | OutcomeReportedLate
    | Retried
    | Released
    | JobEvent
    | BodiesErased
    | DueEvent
)


class Happened(Struct, frozen=True, gc=False):
    """An event in its stream: all that the state depends on.

    `originator_id` and `originator_version` are the names that the eventsourcing library knows.
    `at` is the time that is claimed (`occurred_at`).
    """

    originator_id: UUID
    originator_version: int
    at: datetime
    command_id: UUID
    event: Event


@final
class Envelope(Happened, frozen=True, gc=False):
    """An event with who caused it. `actor` is ``KIND:ID``, never a name.

    `correlation_id` is the first execution of the lineage of retries.
    """

    actor: str
    correlation_id: UUID
