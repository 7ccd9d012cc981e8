"""What is handed to the appender and what comes back: works, their verdicts, the news of them."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct, field

from domain.execution import Execution
from domain.job import CronJob
from domain.streams import AnyCommand


class Lapses(Struct, frozen=True):
    """How long the server waits for agents, in seconds."""

    lease: float = 30
    timeout_grace: float = 20
    cancel: float = 30


class ClaimNext(Struct, frozen=True):
    """Start the oldest pending execution that this agent, with these labels, may run.

    With `settle` nothing new is started: what was got under the same key before is all.
    """

    at: datetime
    by: str
    command_id: UUID
    agent_id: str
    labels: frozenset[str] = frozenset()
    settle: bool = False


class Configuration(Struct, frozen=True):
    """A configuration as it is stored: `digest` is the hexadecimal SHA-256 of salt and body."""

    digest: str
    salt: bytes
    body: bytes


class Message(Struct, frozen=True):
    """An agent's sentence that goes with the event of its outcome."""

    salt: bytes
    body: bytes


class IdempotencyKey(Struct, frozen=True):
    """Under which key, of which token, which request is made only once."""

    token_id: UUID
    key: str
    fingerprint: bytes


class KeptAnswer(Struct, frozen=True):
    """A row of the idempotency table."""

    token_id: UUID
    key: str
    fingerprint: bytes
    execution_id: UUID
    status: int
    location: str | None
    answer: bytes | None


class Answer(Struct, frozen=True):
    """What a request was answered. Without a body it is built anew from the execution."""

    execution_id: UUID
    status: int
    location: str | None = None
    body: bytes | None = None


class Work(Struct, frozen=True):
    """One command with all that goes with it into the same transaction.

    `fresh` says that the execution's id was just made here, so that no history need be read.
    `render` builds the answer to keep under `key` from the state after the command, which is that
    of an execution or of a job. `expected` says that the configuration names a schedule.
    `definition` is a job's other body. `needed` is the digest of a configuration that is stored
    already: what a retry runs, or what an erasure takes from all who have it. `answering` makes of
    what became of it what its caller will be told, while the database writes, which is when this
    process has time; nobody is told before that is durable. It may be called twice.
    """

    command: AnyCommand | ClaimNext
    fresh: bool = False
    configuration: Configuration | None = None
    definition: Configuration | None = None
    message: Message | None = None
    key: IdempotencyKey | None = None
    render: Callable[[Any], Answer] | None = None
    expected: bool = False
    needed: str | None = None
    answering: "Callable[[Done], Any] | None" = None


class Done(Struct, frozen=True):
    """What became of a work: the execution, or the job, that it is about, after it.

    For a retry, or a run of a job, that is the new execution. `changed` is false if it had happened
    before; `replayed` is the answer that was given then. `answer` is what `Work.answering` made of
    all that.
    """

    execution: Execution | None
    changed: bool = False
    replayed: Answer | None = None
    job: CronJob | None = None
    answer: Any = None


class Notice(Struct, omit_defaults=True):
    """What other servers are told of a commit.

    `pending` lists the pins of new work that asks for no labels, `labelled` pins and labels of the
    rest. `erased` are digests of configurations that are gone, `jobs` says that a job was changed.
    """

    sender: str
    position: int
    pending: list[str | None] = field(default_factory=list)
    labelled: list[tuple[str | None, tuple[str, ...]]] = field(default_factory=list)
    cancel_requested: list[UUID] = field(default_factory=list)
    ended: list[UUID] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)
    jobs: bool = False
    overflow: bool = False
