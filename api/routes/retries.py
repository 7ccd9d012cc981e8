"""Automatic retries that are to come."""

from typing import Any, Final

from litestar import Request, get
from litestar.types import ASGIApp

from api import answers, parameters, wire
from api.ledger import of
from api.wire_reactions import PlannedRetries, PlannedRetry
from domain import ids
from store import planned_retries

PATH: Final = "/v1/planned-retries"


@get(PATH)
async def list_planned_retries(request: Request[Any, Any, Any]) -> ASGIApp:
    """List the retries that are planned, the next one first."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    parameters.query(request, ())
    found = await planned_retries.upcoming(ledger.pool)
    return answers.json(
        PlannedRetries(
            [
                PlannedRetry(
                    execution_id=ids.to_text(ids.EXECUTION, one.execution_id),
                    job_id=one.job_id,
                    attempt=one.attempt,
                    retry_at=wire.timestamp(one.retry_at),
                    is_late=one.is_late,
                )
                for one in found
            ]
        )
    )


HANDLERS: Final = (list_planned_retries,)
