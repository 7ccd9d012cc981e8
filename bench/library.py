"""The peer: the eventsourcing library's own Application, as its documentation shows it."""

import threading
import time
from typing import Any
from uuid import uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from psycopg.conninfo import conninfo_to_dict


class Execution(Aggregate):
    """An execution as one would write it with the library."""

    @event("Created")
    def __init__(self, job_id: str, configuration: str) -> None:
        self.job_id = job_id
        self.configuration = configuration
        self.status = "pending"

    @event("Started")
    def start(self, agent_id: str) -> None:
        """Begin."""
        self.agent_id = agent_id
        self.status = "running"

    @event("Completed")
    def complete(self, exit_code: int, duration_ms: int, stdout: str, stderr: str) -> None:
        """End."""
        self.exit_code = exit_code
        self.duration_ms = duration_ms
        self.stdout = stdout
        self.stderr = stderr
        self.status = "success" if exit_code == 0 else "failed"


class Executions(Application[Any]):
    """Saves each change of an execution in a transaction of its own."""

    name = "library"


def application(conninfo: str, threads: int) -> Executions:
    """Return the application on PostgreSQL, with a connection for each thread."""
    info = conninfo_to_dict(conninfo)
    return Executions(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": str(info["dbname"]),
            "POSTGRES_HOST": str(info["host"]),
            "POSTGRES_PORT": str(info.get("port", "5432")),
            "POSTGRES_USER": str(info["user"]),
            "POSTGRES_PASSWORD": str(info["password"]),
            "POSTGRES_POOL_SIZE": str(threads),
            "POSTGRES_CONNECT_TIMEOUT": "60",
            "POSTGRES_CONN_MAX_AGE": "3600",
        }
    )


def lifecycles(app: Executions, threads: int, seconds: float) -> int:
    """Run create, start and complete, each saved by itself, and return how many lives that were."""
    done = [0] * threads
    end = time.perf_counter() + seconds

    def work(number: int) -> None:
        while time.perf_counter() < end:
            execution = Execution(job_id=f"job-{number}", configuration=uuid4().hex * 2)
            app.save(execution)
            again: Execution = app.repository.get(execution.id)
            again.start(agent_id="bench")
            app.save(again)
            last: Execution = app.repository.get(execution.id)
            last.complete(exit_code=0, duration_ms=1, stdout=uuid4().hex, stderr=uuid4().hex)
            app.save(last)
            done[number] += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(done)
