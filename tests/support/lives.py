"""A ledger in which everything happened that can happen, for tests that look at all of it."""

from msgspec.structs import replace

from domain import commands
from store import output
from tests.support.ledgers import Desk, running_ledger
from tests.support.postgres import Database


async def live(made: Database) -> None:
    """Let a server run on an empty database, do everything once, and stop."""
    async with running_ledger(made) as ledger:
        desk = Desk(ledger)
        state = await desk.begun(triggered_by="scheduled")
        ending = await desk.write(state, b"out\n" * 2000, b"err\n")
        await desk.do(desk.complete(state.id, state.fence, ending=ending))
        said = await desk.begun()
        with_message = desk.complete(said.id, said.fence)
        message, digest = output.message("no such file", ledger.keys)
        assert isinstance(with_message.command, commands.Complete)
        told = replace(with_message.command.ending, message=digest, exit_code=127)
        await desk.do(
            replace(
                with_message, command=replace(with_message.command, ending=told), message=message
            )
        )
        failed = await desk.ended(exit_code=3)
        await desk.do(desk.retry(failed.id, key="again"))
        await desk.do(desk.retry(failed.id, key="and again"))
        lost = await desk.begun()
        await desk.do(desk.give_up(commands.Lose, lost.id))
        await desk.do(desk.complete(lost.id, lost.fence))
        late = await desk.begun()
        await desk.do(desk.give_up(commands.TimeOut, late.id))
        canceled = await desk.begun()
        await desk.do(desk.cancel(canceled.id))
        await desk.do(desk.give_up(commands.ConfirmCancel, canceled.id))
        canceling = await desk.begun()
        await desk.do(desk.cancel(canceling.id))
        pending = await desk.do(desk.create(color="red", pinned_agent_id="elsewhere", key="mine"))
        assert pending.execution is not None
        await desk.do(desk.create(labels=("gpu",), start_deadline_seconds=3600, color="red"))
        never = await desk.do(desk.create(start_deadline_seconds=3600))
        assert never.execution is not None
        await desk.do(desk.expire(never.execution.id))
        await desk.do(desk.retry(never.execution.id))
        await desk.do(replace(desk.create(job_id="expected"), expected=True))
        await desk.do(desk.claim(key="one"))
        given_up = await desk.do(desk.create())
        assert given_up.execution is not None
        await desk.do(desk.cancel(given_up.execution.id))
