"""Bodies that go: erasure by hand, and what retention takes."""

from typing import Any, Final

from litestar import Request, get, post
from litestar.types import ASGIApp

from api import answers, parameters, rendering, wire, wire_erasure
from api.ledger import Ledger, of
from api.routes.executions import PATH
from domain import commands, errors
from projections import erasing
from projections.queries import View
from store.work import Work

Req = Request[Any, Any, Any]


@post(PATH + "/{execution_id:str}/erase")
async def erase_bodies(request: Req) -> ASGIApp:
    """Erase output, messages or configuration of an execution that has ended."""
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "admin")
    parameters.query(request, ())
    asked = await parameters.body(request, wire_erasure.EraseBodies)
    view = await ledger.view(parameters.execution_id(request))
    # What is gone already need not go again, though another execution might bring it back.
    configuration = "configuration" in asked.bodies and view.texts.configuration is not None
    command = commands.Erase(
        at=wire.now(),
        by=caller.actor,
        command_id=ledger.new_id(),
        execution_id=view.row.id,
        reason=asked.reason,
        output="output" in asked.bodies,
        messages="messages" in asked.bodies,
        configuration=configuration,
    )
    if configuration:
        await _check_shared(ledger, view, shared=asked.shared)
    await ledger.appender.submit(
        Work(command, needed=view.row.configuration if configuration else None)
    )
    # At this point they are gone, in one transaction with the event that says so.
    view = await ledger.view(view.row.id)
    return answers.json(rendering.execution(view, wire.now()))


async def _check_shared(ledger: Ledger, view: View, *, shared: bool) -> None:
    """Refuse to take from others what they were not named for; forget answers that show it."""
    if (job_id := await erasing.job_with(ledger.pool, view.row)) is not None:
        raise errors.ConfigurationOfJob(job_id=job_id)
    others = await erasing.sharers(ledger.pool, view.row)
    if others and not shared:
        count = f"{others} or more" if others == erasing.SHARERS_MAX else str(others)
        raise errors.ConfigurationShared(others=count)
    # Before the erasure: if that fails they are built anew, which is no loss.
    await erasing.forget_answers(ledger.pool, view.row)


@get("/v1/retention")
async def show_retention(request: Req) -> ASGIApp:
    """Say how long output is kept, how much there is, and what is due to go."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    parameters.query(request, ())
    policy = ledger.settings.retention
    success, failure = await erasing.sums(ledger.pool, policy)
    return answers.json(
        wire_erasure.Retention(
            success=_class(policy.success_days, policy.success_bytes, success),
            failure=_class(policy.failure_days, policy.failure_bytes, failure),
        )
    )


def _class(
    days: float | None, bytes_max: int | None, sums: erasing.Sums
) -> wire_erasure.RetainedClass:
    return wire_erasure.RetainedClass(
        days=days,
        bytes_max=bytes_max,
        kept_executions=sums.kept_executions,
        kept_bytes=sums.kept_bytes,
        due_executions=sums.due_executions,
        due_bytes=sums.due_bytes,
    )


HANDLERS: Final = (erase_bodies, show_retention)
