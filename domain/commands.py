"""What may be asked of an execution. Each command says when (`at`) and who (`by`) asks.

`command_id` names the command in the ledger and is what the client sees as its request id.
Pure data: ids, times and digests are made at the edge.
"""

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from domain.bodies import ErasureReason
from domain.events import BodyDigest, Ending, Outcome, TriggeredBy


class Create(Struct, frozen=True, gc=False):
    """Create an execution; with `claim_agent_id` that agent starts it in the same transaction.

    `started_at` is when that agent really began, if it says so: it may tell of it days later.
    """

    at: datetime
    by: str
    command_id: UUID
    execution_id: UUID
    job_id: str
    configuration: BodyDigest
    triggered_by: TriggeredBy
    timeout_seconds: int | None
    scheduled_for: datetime | None = None
    pinned_agent_id: str | None = None
    claim_agent_id: str | None = None
    started_at: datetime | None = None
    labels: tuple[str, ...] = ()
    start_deadline_seconds: int | None = None


class Start(Struct, frozen=True, gc=False):
    """Let an agent begin a pending execution."""

    at: datetime
    by: str
    command_id: UUID
    execution_id: UUID
    agent_id: str


class Complete(Struct, frozen=True, gc=False):
    """Record how the command ended. `fence` is the command id of the claim that is reporting.

    `ended_at` is when the command really ended, if the agent says so.
    """

    at: datetime
    by: str
    command_id: UUID
    execution_id: UUID
    fence: UUID
    outcome: Outcome
    ending: Ending
    ended_at: datetime | None = None


class Expire(Struct, frozen=True, gc=False):
    """End a pending execution that no agent took before its start deadline."""

    at: datetime
    by: str
    command_id: UUID
    execution_id: UUID


class Cancel(Struct, frozen=True, gc=False):
    """End a pending execution now, or ask the agent of a running one to end it."""

    at: datetime
    by: str
    command_id: UUID
    execution_id: UUID


class TimeOut(Struct, frozen=True, gc=False):
    """Give up on an agent that did not end its command in time."""

    at: datetime
    by: str
    command_id: UUID
    execution_id: UUID
    ending: Ending


class ConfirmCancel(Struct, frozen=True, gc=False):
    """Give up on an agent that did not confirm a requested cancel in time."""

    at: datetime
    by: str
    command_id: UUID
    execution_id: UUID
    ending: Ending


class Lose(Struct, frozen=True, gc=False):
    """Declare a running execution lost: its lease ran out."""

    at: datetime
    by: str
    command_id: UUID
    execution_id: UUID
    ending: Ending


class Retry(Struct, frozen=True, gc=False):
    """Create a new execution with the same configuration from one that failed or timed out.

    The server's own (`automatic`) is one at most, while a person may retry again and again.
    """

    at: datetime
    by: str
    command_id: UUID
    execution_id: UUID
    new_id: UUID
    automatic: bool = False


class Erase(Struct, frozen=True, gc=False):
    """Erase bodies of an execution that has ended.

    With `configuration_of`, the stream of its job, its configuration goes too, for all executions
    that have the same one. While that job runs with it, or a pending execution waits with it, the
    command is refused (store/batch.py, where it is known who does).
    """

    at: datetime
    by: str
    command_id: UUID
    execution_id: UUID
    reason: ErasureReason
    output: bool = False
    messages: bool = False
    configuration_of: UUID | None = None


Command: TypeAlias = (
    Create | Start | Complete | Expire | Cancel | TimeOut | ConfirmCancel | Lose | Retry | Erase
)
