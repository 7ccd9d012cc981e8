"""Why nothing ran: due times that were missed or skipped, of one job or of all."""

from typing import Any, Final

from litestar import Request, get
from litestar.types import ASGIApp

from api import answers, parameters, wire
from api.ledger import of
from api.routes.jobs import PATH, job_id_of, job_of
from api.wire_schedule import PassedTime, PassedTimeList
from domain import ids
from projections import passed_times
from projections.passed_times import Passed
from store import configurations

LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 100
BEFORE_MAX: Final = 10**18 - 1

Req = Request[Any, Any, Any]


@get(PATH + "/skipped")
async def list_skipped(request: Req) -> ASGIApp:
    """List the due times of all jobs on which nothing ran."""
    await of(request).authenticator.require(request, "read")
    return await _listed(request, None)


@get(PATH + "/{job_id:str}/skipped")
async def list_skipped_of_job(request: Req) -> ASGIApp:
    """List the due times of one job on which nothing ran."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    job = await job_of(ledger, job_id_of(request))
    return await _listed(request, job.row.job_id)


async def _listed(request: Req, job_id: str | None) -> ASGIApp:
    values = parameters.query(request, ("limit", "before"))
    limit = parameters.integer(values, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX)
    before = None
    if "before" in values:
        before = parameters.integer(values, "before", 1, 1, BEFORE_MAX)
    found = await passed_times.listed(of(request).pool, job_id, before=before, limit=limit + 1)
    shown = [_shown(one) for one in found[:limit]]
    is_more = len(found) > limit
    return answers.json(PassedTimeList(shown, shown[-1].position if is_more else None))


def _shown(one: Passed) -> PassedTime:
    row = one.row
    job = configurations.shown(one.configuration) if one.configuration is not None else None
    return PassedTime(
        job_id=row.job_id,
        job_name=job.job_name if job else None,
        kind=row.kind,  # type: ignore[arg-type]  # as the event said
        reason=row.reason,  # type: ignore[arg-type]  # as the event said
        first_due_at=wire.timestamp(row.first_due_at),
        last_due_at=wire.timestamp(row.last_due_at),
        count=row.count,
        blocked_by=ids.to_text(ids.EXECUTION, row.blocked_by) if row.blocked_by else None,
        recorded_at=wire.timestamp(one.recorded_at),
        position=row.position,
    )


HANDLERS: Final = (list_skipped, list_skipped_of_job)
