"""Servers that only schedule, with a clock of their own that tests move; nothing here sleeps."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from api.app import create_ledger
from api.ledger import Ledger
from api.scheduler import Scheduler
from api.settings import Settings
from domain import ids, job_commands
from domain.execution import Execution
from domain.job_events import Plan
from store import configurations, definitions
from store.configurations import Job
from store.definitions import Definition
from store.work import Done, Work
from tests.support.ledgers import Desk
from tests.support.postgres import Database

# Simulated times lie ahead, where the clock of no real server comes.
START: Final = datetime(2031, 3, 30, tzinfo=UTC)


class Clock:
    """The one clock that all these servers share."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    async def __call__(self, _: object) -> datetime:
        """What a server reads."""
        return self.now

    def advance(self, **parts: float) -> None:
        """Move the clock, also backwards."""
        self.now += timedelta(**parts)


class TimeServer:
    """One server of several: a writer and a scheduler, and nothing that acts by itself."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self.clock = clock
        self.ledger: Ledger
        self.scheduler: Scheduler

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.ledger.appender.stop()
        await self._close()

    async def start(self) -> None:
        """Start, or start again."""
        home = Path(tempfile.gettempdir())
        self.ledger = create_ledger(
            Settings(home=home, pool_size=2),
            self._database.conninfo,
            self._database.ledger_id,
            self._database.keys,
        )
        self.scheduler = Scheduler(self.ledger, self.clock)
        await self.ledger.pool.open(wait=True)
        await self.ledger.appender.start()

    async def tick(self) -> float:
        """Settle what has come; return how long the server would sleep."""
        return await self.scheduler.tick()

    async def settled(self) -> None:
        """Tick until nothing more is due now."""
        while await self.tick() == 0.0:
            pass

    async def crash(self, tick: "asyncio.Task[float] | None" = None) -> None:
        """Die where it stands, without a word to anyone, and start anew."""
        appender = self.ledger.appender
        tasks = [task for task in (tick, appender._writer) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await appender._disconnect()
        for _, future in appender._queue:
            future.cancel()
        await self._close()
        await self.start()

    async def _close(self) -> None:
        await self.ledger.views.close()
        await self.ledger.pool.close()


@contextlib.asynccontextmanager
async def time_server(database: Database, clock: Clock) -> AsyncIterator["Timetable"]:
    """Run one server, and hand out its timetable."""
    async with TimeServer(database, clock) as server:
        yield Timetable(server, database)


class Timetable:
    """Jobs of one server: defined, changed, let run, and asked about."""

    def __init__(self, server: TimeServer, database: Database) -> None:
        self.server = server
        self.database = database
        self.desk = Desk(server.ledger)
        self._defined: set[str] = set()

    async def define(
        self,
        job_id: str,
        cron: str | None,
        timezone: str = "UTC",
        *,
        command: str = "true",
        **plan: Any,
    ) -> UUID:
        """Create a job, or change it; return its stream."""
        facts: dict[str, Any] = {"missed_policy": "run_once", "overlap_policy": "allow"}
        facts |= {"timeout_seconds": 300} | plan
        keys = self.server.ledger.keys
        configuration, digest = configurations.seal(Job(job_id, job_id, command, 300), keys)
        definition, wrote = definitions.seal(Definition(job_id, cron), keys)
        bodies: dict[str, Any] = {
            "definition": wrote,
            "configuration": digest,
            "plan": Plan(cron=cron, timezone=timezone, **facts),
        }
        stream = ids.job_stream(job_id)
        make: Any = job_commands.CreateJob
        if job_id in self._defined:
            make = job_commands.ChangeJob
        else:
            bodies["job_id"] = job_id
            self._defined.add(job_id)
        asked = make(**self._stamp(stream), **bodies)
        await self.desk.do(Work(asked, configuration=configuration, definition=definition))
        return stream

    async def pause(self, job_id: str) -> None:
        """Pause a job."""
        await self._do(job_commands.PauseJob, job_id)

    async def resume(self, job_id: str) -> None:
        """Resume a job."""
        await self._do(job_commands.ResumeJob, job_id)

    async def delete(self, job_id: str) -> None:
        """Delete a job."""
        self._defined.discard(job_id)
        await self._do(job_commands.DeleteJob, job_id)

    async def erase(self, job_id: str, *digests: str) -> None:
        """Erase texts that a job had."""
        await self._do(job_commands.EraseJob, job_id, reason="secret", bodies=digests)

    async def run(self, job_id: str) -> Execution:
        """Run a job by hand."""
        done = await self._do(job_commands.RunJob, job_id, new_id=self.server.ledger.new_id())
        assert done.execution is not None
        return done.execution

    async def end(self, execution_id: UUID) -> None:
        """Let an agent end a running execution."""
        state = await self.desk.get(execution_id)
        await self.desk.do(self.desk.complete(state.id, state.fence))

    async def start(self) -> Execution | None:
        """Let an agent claim what waits, if anything does."""
        return (await self.desk.do(self.desk.claim())).execution

    async def tick(self, **advance: float) -> None:
        """Move the clock, and settle what has come."""
        self.server.clock.advance(**advance)
        await self.server.settled()

    def executions(self, job_id: str) -> list[dict[str, Any]]:
        """The executions of a job in order of their ids."""
        return self.rows(
            "SELECT id, status, scheduled_for, held FROM read.executions_1 WHERE job_id = %s"
            " ORDER BY id",
            job_id,
        )

    def made(self, job_id: str) -> list[datetime]:
        """For which times executions were made."""
        return [row["scheduled_for"] for row in self.executions(job_id)]

    def passed(self, job_id: str) -> list[tuple[str, str, datetime, datetime, int | None]]:
        """On which times nothing ran, and why."""
        rows = self.rows(
            "SELECT kind, reason, first_due_at, last_due_at, count FROM read.passed_times_1"
            " WHERE job_id = %s ORDER BY first_due_at",
            job_id,
        )
        return [tuple(row.values()) for row in rows]

    def rows(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        """What a query returns."""
        with (
            psycopg.connect(self.database.owner, options="-c timezone=UTC") as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            return cursor.execute(statement.encode(), parameters).fetchall()

    async def _do(self, make: Any, job_id: str, **facts: Any) -> Done:
        return await self.desk.do(Work(make(**self._stamp(ids.job_stream(job_id)), **facts)))

    def _stamp(self, stream: UUID) -> dict[str, Any]:
        return {
            "at": self.server.clock.now,
            "by": "operator:test",
            "command_id": self.server.ledger.new_id(),
            "stream_id": stream,
        }
