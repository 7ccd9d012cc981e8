"""A ledger in which everything happened that can happen, for tests that look at all of it."""

from typing import Any

from msgspec.structs import replace

from api import wire
from api.ledger import Ledger
from domain import commands, ids, job_commands
from domain.job_events import Plan
from store import configurations, definitions, output
from store.definitions import Definition
from store.work import Work
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
        await desk.do(_with_message(desk, desk.complete(said.id, said.fence, exit_code=127)))
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
        await desk.do(desk.create(job_id="expected", expected_schedule="@daily"))
        await desk.do(desk.claim(key="one"))
        given_up = await desk.do(desk.create())
        assert given_up.execution is not None
        await desk.do(desk.cancel(given_up.execution.id))
        await _erasures(desk)
        await _job(ledger)


def _with_message(desk: Desk, work: Work) -> Work:
    """The end of an execution, of which the agent says a sentence."""
    assert isinstance(work.command, commands.Complete)
    message, digest = output.message("no such file", desk.ledger.keys)
    told = replace(work.command.ending, message=digest)
    return replace(work, command=replace(work.command, ending=told), message=message)


async def _erasures(desk: Desk) -> None:
    """All of one execution is erased, a configuration comes back, an agent tells more later."""
    for color in ("secret", "again"):
        state = await desk.begun(color=color)
        ending = await desk.write(state, b"it was 4711\n", b"4711\n")
        await desk.do(_with_message(desk, desk.complete(state.id, state.fence, ending=ending)))
        await desk.do(desk.erase(state.id, configuration=state.configuration.sha256))
    await desk.ended(color="again")
    lost = await desk.begun()
    await desk.write(lost, b"begun\n")
    await desk.do(desk.give_up(commands.Lose, lost.id))
    await desk.do(desk.erase(lost.id))
    ending = await desk.write(lost, b"begun, and ended\n")
    await desk.do(_with_message(desk, desk.complete(lost.id, lost.fence, ending=ending)))


async def _job(ledger: Ledger) -> None:
    """A job that is made, changed, rid of what it was before, and run."""
    stamp: dict[str, Any] = {"at": wire.now(), "by": "operator:test"}
    stamp["stream_id"] = ids.job_stream("nightly")
    for hour in (1, 2):
        job = configurations.Job("nightly", "nightly", f"run {hour}", 300)
        configuration, digest = configurations.seal(job, ledger.keys)
        words = Definition("nightly", f"every day at {hour}am")
        definition, words_digest = definitions.seal(words, ledger.keys)
        plan = Plan(f"0 {hour} * * *", "UTC", 300, "run_once", "allow")
        command: job_commands.JobCommand
        if hour == 1:
            former = (digest.sha256, words_digest.sha256)
            command = job_commands.CreateJob(
                **stamp,
                command_id=ledger.new_id(),
                job_id="nightly",
                definition=words_digest,
                configuration=digest,
                plan=plan,
            )
        else:
            command = job_commands.ChangeJob(
                **stamp,
                command_id=ledger.new_id(),
                definition=words_digest,
                configuration=digest,
                plan=plan,
            )
        await ledger.appender.submit(
            Work(command, configuration=configuration, definition=definition)
        )
    erase = job_commands.EraseJob(
        **stamp, command_id=ledger.new_id(), reason="secret", bodies=former
    )
    await ledger.appender.submit(Work(erase))
    run = job_commands.RunJob(**stamp, command_id=ledger.new_id(), new_id=ledger.new_id())
    await ledger.appender.submit(Work(run, needed=digest.sha256))
