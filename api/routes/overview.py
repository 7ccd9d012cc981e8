"""Questions over everything: which jobs did not run, and which agents there are."""

from typing import Any, Final

from litestar import Request, get
from litestar.types import ASGIApp

from api import answers, parameters, wire
from api.ledger import of
from api.routes.executions import PATH
from domain import ids
from projections import overview

Req = Request[Any, Any, Any]


@get(PATH + "/missed")
async def list_missed(request: Req) -> ASGIApp:
    """List the jobs that should have run by now and did not."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    parameters.query(request, ())
    found = await overview.missed(ledger.pool, wire.now())
    return answers.json(wire.MissedList([_missed(one) for one in found]))


def _missed(one: overview.Missed) -> wire.Missed:
    return wire.Missed(
        job_id=one.job_id,
        job_name=one.job_name,
        expected_schedule=one.schedule,
        expected_timezone=one.time_zone,
        due_at=wire.timestamp(one.due_at),
        last_execution=wire.LastExecution(
            id=ids.to_text(ids.EXECUTION, one.last_id),
            status=one.last_status,  # type: ignore[arg-type]  # as the read model says
            created_at=wire.timestamp(ids.created_at(one.last_id)),
        ),
    )


@get("/v1/agents")
async def list_agents(request: Req) -> ASGIApp:
    """List the agents that were seen in the last 30 days, and what they run."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    parameters.query(request, ())
    found = await overview.agents(ledger.pool)
    return answers.json(wire.AgentList([_agent(one) for one in found]))


def _agent(one: overview.KnownAgent) -> wire.Agent:
    return wire.Agent(
        agent_id=one.agent_id,
        last_seen_at=wire.timestamp(one.last_seen_at),
        version=one.version,
        labels=one.labels or [],
        concurrency=one.concurrency,
        token_bound=one.token_bound,
        running_count=one.running_count,
        running=[ids.to_text(ids.EXECUTION, execution_id) for execution_id in one.running],
    )


HANDLERS: Final = (list_missed, list_agents)
