"""Running ledgers without HTTP, and the works that tests hand to them as the routes would."""

import contextlib
import hashlib
import tempfile
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from api import wire
from api.app import create_ledger, running
from api.ledger import Ledger
from api.settings import Settings
from domain import commands, ids
from domain.commands import Command
from domain.events import Ending, Outcome, StreamDigest
from domain.execution import Execution
from store import configurations, output
from store.configurations import Job
from store.work import Answer, ClaimNext, Done, IdempotencyKey, Work
from tests.support.postgres import Database

AGENT: Final = "agent-1"
SECRET: Final = "swordfish-4711"
NOTHING: Final = Ending(12, output.NOTHING, output.NOTHING)
_TOKEN: Final = UUID(int=7)


@contextlib.asynccontextmanager
async def running_ledger(database: Database, **settings: Any) -> AsyncIterator[Ledger]:
    """Run a ledger as a server does: pool, writer, sweep, listener, housekeeping."""
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
        home = Path(folder)
        ledger = create_ledger(
            Settings(home=home, **settings), database.conninfo, database.ledger_id, database.keys
        )
        async with running(ledger, database.conninfo, home / "head"):
            yield ledger


class Desk:
    """Makes works for one ledger, and hands them in."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    async def do(self, work: Work) -> Done:
        """Commit one work."""
        return await self.ledger.appender.submit(work)

    async def get(self, execution_id: UUID) -> Execution:
        """The state of an execution, folded from what is stored."""
        state = await self.ledger.state(execution_id)
        assert state is not None
        return state

    async def begun(self, agent_id: str = AGENT, **fields: Any) -> Execution:
        """Create an execution that runs from the first moment on."""
        done = await self.do(self.create(claim_agent_id=agent_id, **fields))
        assert done.execution is not None
        return done.execution

    async def ended(self, exit_code: int = 0, **fields: Any) -> Execution:
        """Create an execution that ran and ended."""
        state = await self.begun(**fields)
        done = await self.do(self.complete(state.id, state.fence, exit_code=exit_code))
        assert done.execution is not None
        return done.execution

    def create(
        self, execution_id: UUID | None = None, *, key: str | None = None, **fields: Any
    ) -> Work:
        """A work that creates an execution; `fields` are those of the job and of the command."""
        job = Job(
            job_id=fields.pop("job_id", "job-1"),
            job_name="nightly",
            command="true",
            timeout_seconds=fields.pop("timeout_seconds", 300),
            environment={"COLOR": fields.pop("color", "blue")},
            secrets=fields.pop("secrets", {"PASSWORD": SECRET}),
            expected_schedule=fields.pop("expected_schedule", None),
        )
        configuration, digest = configurations.seal(job, self.ledger.keys)
        command = commands.Create(
            **self._stamp(),
            execution_id=execution_id or self.ledger.new_id(),
            job_id=job.job_id,
            configuration=digest,
            triggered_by=fields.pop("triggered_by", "manual"),
            timeout_seconds=job.timeout_seconds,
            **fields,
        )
        said = [str(execution_id), digest.sha256, job.job_id]
        return Work(
            command,
            fresh=execution_id is None,
            configuration=configuration,
            key=_key(key, "create", *said),
            render=_created,
            expected=job.expected_schedule is not None,
        )

    def claim(self, agent_id: str = AGENT, *labels: str, key: str | None = None) -> Work:
        """A work that starts the next pending execution."""
        return Work(
            ClaimNext(**self._stamp(), agent_id=agent_id, labels=frozenset(labels)),
            key=_key(key, "claim", agent_id, prefix="Claim-Id"),
            render=_claimed,
        )

    def complete(
        self,
        execution_id: UUID,
        fence: UUID | None,
        *,
        outcome: Outcome = "exited",
        ending: Ending | None = None,
        exit_code: int = 0,
        ended_at: datetime | None = None,
    ) -> Work:
        """A work that reports the end of an execution for the claim `fence`."""
        told = ending or Ending(12, output.NOTHING, output.NOTHING, exit_code=exit_code)
        command = commands.Complete(
            **self._stamp(),
            execution_id=execution_id,
            fence=fence or UUID(int=0),
            outcome=outcome,
            ending=told,
            ended_at=ended_at,
        )
        return Work(command)

    def expire(self, execution_id: UUID) -> Work:
        """A work by which the server no longer waits for an agent to begin."""
        return Work(commands.Expire(**self._stamp(), execution_id=execution_id))

    def cancel(self, execution_id: UUID) -> Work:
        """A work that asks for a cancel."""
        return Work(commands.Cancel(**self._stamp(), execution_id=execution_id))

    def retry(
        self, execution_id: UUID, *, key: str | None = None, needed: str | None = None
    ) -> Work:
        """A work that runs an execution again, if the configuration `needed` is there."""
        command = commands.Retry(
            **self._stamp(), execution_id=execution_id, new_id=self.ledger.new_id()
        )
        key_of = _key(key, "retry", str(execution_id))
        return Work(command, key=key_of, render=_created, needed=needed)

    def erase(
        self,
        execution_id: UUID,
        *,
        configuration: str | None = None,
        job_id: str = "job-1",
        output: bool = True,
    ) -> Work:
        """A work that erases output and messages, and a configuration if its digest is given."""
        command = commands.Erase(
            **self._stamp(),
            execution_id=execution_id,
            reason="requested",
            output=output,
            messages=output,
            configuration_of=None if configuration is None else ids.job_stream(job_id),
        )
        return Work(command, needed=configuration)

    def give_up(
        self,
        kind: type[commands.Lose | commands.TimeOut | commands.ConfirmCancel],
        execution_id: UUID,
    ) -> Work:
        """A work by which the server stops waiting for an agent."""
        command: Command = kind(**self._stamp(), execution_id=execution_id, ending=NOTHING)
        return Work(command)

    async def write(self, state: Execution, stdout: bytes, stderr: bytes = b"") -> Ending:
        """Store output of a running execution; return an ending that tells of it."""
        assert state.fence is not None
        for stream, data in (("stdout", stdout), ("stderr", stderr)):
            done = await output.append(
                self.ledger.pool, state.id, state.fence, stream, offset=0, data=data
            )
            assert done.result == "ok"
        standing = await self.ledger.standing(state.id)
        said = [
            StreamDigest(0, 0, "", written_sha256=hashlib.sha256(data).hexdigest())
            for data in (stdout, stderr)
        ]
        return await self.ledger.ending(standing, Ending(12, said[0], said[1], exit_code=0))

    def _stamp(self) -> dict[str, Any]:
        return {"at": wire.now(), "by": "operator:test", "command_id": self.ledger.new_id()}


def _key(key: str | None, *said: str, prefix: str = "Idempotency-Key") -> IdempotencyKey | None:
    if key is None:
        return None
    return IdempotencyKey(
        token_id=_TOKEN,
        key=f"{prefix}: {key}",
        fingerprint=hashlib.sha256("\n".join(said).encode()).digest(),
    )


def _created(state: Execution) -> Answer:
    body = b'{"id":"%s"}' % str(state.id).encode()
    return Answer(state.id, 201, f"/{state.id}", body)


def _claimed(state: Execution) -> Answer:
    return Answer(state.id, 200)
