"""The record of one `exec`: kept in a spool from the start on, and told to the server meanwhile.

What speaks HTTP is imported in the background: it takes longer to import than `exec` may take.
"""

from __future__ import annotations

import os
import time

from agent import threads
from agent.bare import suppress
from agent.run_folder import ENDING, LEASE, RUN, RunFolder
from cli.exec_spool import own_spools
from cli.usage import UsageError

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from agent.backlog import Backlog
    from agent.client import Client
    from agent.delivery import Delivery, Verdict
    from agent.lease import Lease

FINISH_SECONDS = 1.0
BACKLOG_SECONDS = 0.2  # for what earlier runs have left, after our own is settled
CREATE_SECONDS = 5.0
# What the server has by then needs no disk; what it has not outlives a crash from then on.
DURABLE_AFTER_SECONDS = 0.1


class InProcess:
    """Tells the sender of what the command under the same roof does."""

    def __init__(self) -> None:
        self._changed = threads.Condition()
        self._news = False
        self._over = False

    @property
    def over(self) -> bool:
        """True when the command has ended, and its end is written down."""
        return self._over

    def wait(self, seconds: float | None, *, for_news: bool) -> None:
        """Wait until it is over, for a time, or also for news of more output."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or (for_news and self._news), seconds)
            self._news = False

    def tell_news(self) -> None:
        """Say that there is more output."""
        with self._changed:
            self._news = True
            self._changed.notify_all()

    def finish(self) -> None:
        """Say that it is over."""
        with self._changed:
            self._over = True
            self._changed.notify_all()


class ExecRecord:
    """What the server is told of a run, in threads that never hold up the command.

    The execution has an id of our making, so that the create may be repeated; what is not told
    when our caller has waited long enough stays in the spool, for whoever delivers that next.

    Attributes:
        folder: What is kept of the run.
        watch: Is to be told of the command's output.
        refusal: Why the server will never take it, if it is so.
        obstacle: Why the server has not heard of it yet, or not to its end.
        obstacle_lasts: It is not one that passes by itself.
        has_lease: The server knows that it has begun.
    """

    def __init__(
        self,
        folder: RunFolder,
        create: Mapping[str, Any],
        open_client: Callable[[], Client],
        *,
        on_cancel: Callable[[], None],
    ) -> None:
        """Prepare a record; `open_client` raises an exception with a sentence if it cannot."""
        self.folder = folder
        self._create = create
        self._open_client = open_client
        self._on_cancel = on_cancel
        self._changed = threads.Condition()
        self._given_up = threads.Event()
        self._client: Client | None = None
        self._delivery: Delivery | None = None
        self._backlog: Backlog | None = None
        self._under_way: set[Callable[[], None]] = set()
        self._is_away = False
        self._settled = False
        self._ending: Mapping[str, Any] = {}
        self.watch = InProcess()
        self.refusal = ""
        self.schedule_refusal = ""
        self.obstacle = "the server has not answered in time"
        self.obstacle_lasts = False
        self.has_lease = False

    def begin(self) -> None:
        """Write down what is about to run. Raises OSError."""
        run = {"create": self._create, "started_at": time.time()}
        # Made durable in the background, and only if it lasts: see `_keep`.
        self.folder.write(RUN, run, durable=False)

    def start(self) -> None:
        """Begin to tell, now that the command has started."""
        self._start_thread(self._tell)
        threads.Thread(self._keep).start()

    def finish(self, ending: Mapping[str, Any]) -> bool:
        """Write down the end, and wait a moment for the server to take it; True if it is settled.

        Else all of it is durable in the spool. Raises OSError if neither the disk took it nor the
        server.
        """
        self._ending = ending  # a full disk does not keep the server from hearing of it
        problem = None
        try:
            self.folder.write(ENDING, ending, durable=False)
        except OSError as error:
            problem = error
        self.watch.finish()
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_away or self._tell not in self._under_way, FINISH_SECONDS
            )
            if self._settled:
                self._changed.wait_for(lambda: not self._under_way, BACKLOG_SECONDS)
        self._given_up.set()
        if self._client is not None:
            self._client.abort()
        if self._delivery is not None:
            self._delivery.give_up()
        if self._backlog is not None:
            self._backlog.stop()
        # It may be settled at this very moment: whoever is first under the lock is right.
        with self._changed:
            if not self._settled:
                if problem is not None:
                    raise problem
                self.folder.sync()
            return self._settled

    def _start_thread(self, work: Callable[[], None]) -> None:
        def do() -> None:
            try:
                work()
            except OSError as error:  # of the disk: those of the network are Unreachable
                self._note_obstacle(str(error), lasts=True)
            finally:
                with self._changed:
                    self._under_way.discard(work)
                    self._changed.notify_all()

        with self._changed:
            self._under_way.add(work)
        threads.Thread(do).start()

    def _keep(self) -> None:
        """Make durable what is about to run, unless the server has all of it in a moment."""
        with self._changed:
            is_done = self._changed.wait_for(
                lambda: self._settled or self._given_up.is_set(), DURABLE_AFTER_SECONDS
            )
        if not is_done:
            with suppress(OSError):  # the server may take what the disk does not
                self.folder.sync()
            # At this point a crash of the machine leaves something to tell of.

    def _tell(self) -> None:
        from agent.client import InvalidUrlError  # noqa: PLC0415 - see above
        from cli.connection import NoTokenError  # noqa: PLC0415

        try:
            self._client = self._open_client()
        except (NoTokenError, UsageError, InvalidUrlError) as error:
            self._note_obstacle(str(error), lasts=True)
            return
        lease = self._ask_for_lease(self._client)
        if lease is not None:
            if self._spools_with_others():
                self._start_thread(self._deliver_backlog)
            self._deliver(lease, self._client)

    def _ask_for_lease(self, client: Client) -> Lease | None:
        """Create the execution, as often as it takes; None if there is nothing to deliver under."""
        from agent.backoff import Backoff  # noqa: PLC0415
        from agent.client import NotCronledger, Problem, Unreachable  # noqa: PLC0415
        from agent.lease import create, without_schedule  # noqa: PLC0415

        backoff = Backoff()
        while not self._given_up.is_set():
            try:
                lease = create(client, self._create, CREATE_SECONDS)
            except Unreachable as error:
                is_other = isinstance(error, NotCronledger)
                self._note_obstacle(str(error), lasts=is_other, away=not error.sent)
                delay = backoff.next_delay()
            except Problem as problem:
                less = without_schedule(self._create, problem)
                if less is not None:
                    self._create, self.schedule_refusal = less, str(problem)
                    continue
                from agent.delivery import REFUSED, verdict_on  # noqa: PLC0415

                delay = backoff.next_delay(problem.retry_after)
                verdict = verdict_on(problem)
                if not problem.passing:
                    self._note_obstacle(verdict.sentence, lasts=True)
                    if verdict.kind == REFUSED:
                        self._settle(verdict)
                    return None
                self._note_obstacle(verdict.sentence)
            else:
                self._is_away, self.has_lease = False, True
                with suppress(OSError):  # who delivers later asks for it again
                    lent = {"lease": lease.document(), "told_late": False}
                    self.folder.write(LEASE, lent, durable=False)
                return lease
            self._given_up.wait(delay)
        return None

    def _deliver(self, lease: Lease, client: Client) -> None:
        from agent.delivery import UNFINISHED, Delivery, Outputs  # noqa: PLC0415

        self._delivery = Delivery(
            lease,
            client,
            Outputs(self.folder.place),
            watch=self.watch,
            ending=lambda: self._ending,
            on_cancel=self._on_cancel,
            on_lease_lost=_nothing,  # the command is the caller's, not the ledger's
            log=_nothing,
        )
        if self._given_up.is_set():  # that may have come before there was a delivery
            self._delivery.give_up()
        verdict = self._delivery.carry_out()
        if verdict.kind == UNFINISHED:
            self._note_obstacle(verdict.sentence)
        else:
            self._settle(verdict)

    def _deliver_backlog(self) -> None:
        """Deliver what earlier runs have left, while ours goes on."""
        from agent.backlog import Backlog  # noqa: PLC0415
        from agent.spool import Spool  # noqa: PLC0415

        assert self._client is not None  # noqa: S101 - it has just been used
        for path in self._spools_with_others():
            self._backlog = Backlog(Spool(path), self._client.sibling(), _nothing)
            if self._given_up.is_set():
                return
            self._backlog.carry_out()

    def _spools_with_others(self) -> list[str]:
        """Return the spools in which more waits than our own run."""
        found = []
        for path in own_spools():
            try:
                count = len(os.listdir(f"{path}/runs"))  # noqa: PTH208 - names are enough
            except OSError:
                continue  # there is none, or not for us
            if count > self.folder.place.startswith(f"{path}/"):
                found.append(path)
        return found

    def _settle(self, verdict: Verdict) -> None:
        from agent.delivery import REFUSED, settle  # noqa: PLC0415

        with self._changed:
            if verdict.kind == REFUSED:
                self.refusal = verdict.sentence
            settle(self.folder, verdict)
            self._settled = True

    def _note_obstacle(self, sentence: str, *, lasts: bool = False, away: bool = False) -> None:
        with self._changed:
            if self._given_up.is_set():
                return  # it is we who cut it
            self.obstacle, self.obstacle_lasts = sentence, lasts
            self._is_away = away
            self._changed.notify_all()


def _nothing(*_arguments: object) -> None:
    pass
