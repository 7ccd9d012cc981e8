"""Jobs and their runs, asked for in any order and at once by two servers, against a model."""

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api import wire
from api.ledger import Ledger
from domain import errors, ids, job_commands
from domain.job_events import Plan
from store import configurations, definitions
from store.configurations import Job
from store.definitions import Definition, Targets
from store.work import Done, Work
from tests.support import invariants
from tests.support.ledgers import SECRET, running_ledger
from tests.support.postgres import Postgres

NAMES: Final = ("backup", "report")


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request: of which server, about which job, at once with the next one or not."""

    server: int
    name: str
    kind: str
    hour: int
    together: bool
    stale: bool


@dataclasses.dataclass
class Known:
    """What the model knows of one job."""

    state: str = "none"
    hour: int = 0
    version: int = 0
    runs: int = 0


ASKED: Final = st.builds(
    Asked,
    server=st.integers(0, 1),
    name=st.sampled_from(NAMES),
    kind=st.sampled_from(["create", "create", "change", "pause", "resume", "delete", "run"]),
    hour=st.integers(0, 1),
    together=st.booleans(),
    stale=st.sampled_from([False, False, False, True]),
)


def expected(known: Known, asked: Asked) -> object:
    """What the model answers: a refusal, or whether anything changed; it moves on."""
    if asked.kind == "create":
        if known.state in {"enabled", "paused"}:
            return errors.JobExists
        known.state, known.hour, known.version = "enabled", asked.hour, known.version + 1
        return True
    if known.state in {"none", "deleted"}:
        return errors.JobNotFound
    if asked.stale:
        return errors.JobChangedMeanwhile
    before = dataclasses.replace(known)
    match asked.kind:
        case "change":
            known.hour = asked.hour
        case "pause":
            known.state = "paused"
        case "resume":
            known.state = "enabled"
        case "delete":
            known.state = "deleted"
        case _:
            known.runs += 1
            return True
    changed = known != before
    known.version += changed
    return changed


def work(ledger: Ledger, asked: Asked) -> Work:
    """The request as a route would hand it in."""
    stamp: dict[str, Any] = {
        "at": wire.now(),
        "by": "operator:test",
        "command_id": ledger.new_id(),
        "stream_id": ids.job_stream(asked.name),
    }
    if asked.kind not in {"create", "change"}:
        stamp["expected_version"] = 99 if asked.stale else None
    match asked.kind:
        case "pause":
            return Work(job_commands.PauseJob(**stamp))
        case "resume":
            return Work(job_commands.ResumeJob(**stamp))
        case "delete":
            return Work(job_commands.DeleteJob(**stamp))
        case "run":
            return Work(job_commands.RunJob(**stamp, new_id=ledger.new_id()))
    job = Job(asked.name, asked.name, f"run {asked.hour}", 300, secrets={"PASSWORD": SECRET})
    configuration, configuration_digest = configurations.seal(job, ledger.keys)
    hooks = Targets(on_failure=(f"https://hooks.example/{SECRET}",))
    definition, definition_digest = definitions.seal(
        Definition(asked.name, f"0 {asked.hour} * * *", hooks), ledger.keys
    )
    plan = Plan(f"0 {asked.hour} * * *", "UTC", 300, "run_once", "allow", tags=("db",))
    bodies: dict[str, Any] = {
        "definition": definition_digest,
        "configuration": configuration_digest,
        "plan": plan,
    }
    command: job_commands.JobCommand
    if asked.kind == "create":
        command = job_commands.CreateJob(**stamp, job_id=asked.name, **bodies)
    else:
        version = 99 if asked.stale else None
        command = job_commands.ChangeJob(**stamp, **bodies, expected_version=version)
    return Work(command, configuration=configuration, definition=definition)


def seen(answer: Done | BaseException) -> object:
    """What the ledger answered, as the model says it."""
    if isinstance(answer, errors.Refusal):
        return type(answer)
    if isinstance(answer, BaseException):
        raise answer
    return answer.changed


_SETTINGS: Final = settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_PLANS: Final = st.lists(ASKED, min_size=1, max_size=14)


@_SETTINGS
@given(plan=_PLANS)
def test_jobs_are_as_their_model(postgres: Postgres, plan: list[Asked]) -> None:
    """Two servers, each command judged by all that both have recorded; afterwards all holds."""
    asyncio.run(_live(postgres, plan))


@pytest.mark.soak
@settings(_SETTINGS, max_examples=400)
@given(plan=_PLANS)
def test_jobs_are_as_their_model_for_long(postgres: Postgres, plan: list[Asked]) -> None:
    """The same with 400 plans."""
    asyncio.run(_live(postgres, plan))


async def _live(postgres: Postgres, plan: Sequence[Asked]) -> None:
    database = postgres.fresh()
    known = {name: Known() for name in NAMES}
    async with (
        running_ledger(database, sweep_seconds=3600) as left,
        running_ledger(database, sweep_seconds=3600) as right,
    ):
        servers = (left, right)
        at = 0
        while at < len(plan):
            batch = [plan[at]]
            # What is asked together is asked of one server, and judged in order.
            while batch[-1].together and at + len(batch) < len(plan):
                batch.append(dataclasses.replace(plan[at + len(batch)], server=batch[0].server))
            at += len(batch)
            ledger = servers[batch[0].server]
            works = [work(ledger, asked) for asked in batch]
            answers = await asyncio.gather(
                *map(ledger.appender.submit, works), return_exceptions=True
            )
            for asked, answer in zip(batch, answers, strict=True):
                assert seen(answer) == expected(known[asked.name], asked), asked
        async with left.pool.connection() as connection:
            rows = await connection.execute("SELECT job_id, status, version FROM read.jobs_1")
            found = {name: (state, version) for name, state, version in await rows.fetchall()}
            rows = await connection.execute("SELECT job_id FROM read.executions_1")
            runs = [name for (name,) in await rows.fetchall()]
    assert found == {n: (one.state, one.version) for n, one in known.items() if one.version}
    assert {name: runs.count(name) for name in NAMES} == {n: one.runs for n, one in known.items()}
    invariants.check(database.owner, secrets=[SECRET])
    postgres.drop(database)


DAMAGES: Final = {
    "row changed": (
        "UPDATE read.jobs_1 SET status = 'paused'",
        "['status'] are not as by the naive fold",
    ),
    "plan changed": (
        "UPDATE read.jobs_1 SET plan = replace(plan, 'UTC', 'GMT')",
        "['plan'] are not as by the product's own fold",
    ),
    "row removed": ("DELETE FROM read.jobs_1", "is in the read model, or should be"),
    "definition gone": (
        "DELETE FROM store.configurations WHERE convert_from(body, 'UTF8') LIKE '%schedule%'",
        "its definition is missing",
    ),
    "configuration gone": (
        "DELETE FROM store.configurations WHERE convert_from(body, 'UTF8') LIKE '%command%'",
        "its configuration is missing",
    ),
    "illegal step": (
        "UPDATE ledger.events SET type = 'job.resumed' WHERE type = 'job.paused'",
        "job.resumed at version 2 when enabled",
    ),
    "another stream": (
        "UPDATE ledger.events SET stream_id = gen_random_uuid() WHERE type LIKE 'job.%'",
        "is not that of its job backup",
    ),
    "two kinds in one stream": (
        """UPDATE ledger.events SET stream_id = (SELECT stream_id FROM ledger.events LIMIT 1),
           version = 9 WHERE type = 'execution.created'""",
        "has events of a job and of an execution",
    ),
}


def test_damage_to_jobs_is_found(postgres: Postgres) -> None:
    """Whatever is edited, removed or swapped of jobs, the invariants' function says so."""
    lived = postgres.fresh()
    asyncio.run(_prepare(lived))
    assert invariants.differences(lived.owner) == []
    for statement, line in DAMAGES.values():
        copy = postgres.fresh(template=lived.name)
        with copy.as_owner() as connection:
            connection.execute("ALTER TABLE ledger.events DISABLE TRIGGER ALL")
            connection.execute(statement.encode())
        found = invariants.differences(copy.owner)
        assert any(line in one for one in found), (statement, found)
        postgres.drop(copy)
    postgres.drop(lived)


async def _prepare(lived: Any) -> None:
    async with running_ledger(lived) as ledger:
        for kind in ("create", "pause", "resume", "run"):
            asked = Asked(0, "backup", kind, 3, together=False, stale=False)
            await ledger.appender.submit(work(ledger, asked))
