"""The figures that an operator needs first, in the Prometheus text format."""

import resource
import sys
import time
from typing import Final, TypeAlias

from api import answers
from api.background import Sweeper
from api.ledger import Ledger
from api.scheduler import Scheduler

Line: TypeAlias = tuple[str, str, str, float]

_started: Final = time.time()


class Metrics:
    """Gathers the figures of one server."""

    def __init__(self, ledger: Ledger, sweeper: Sweeper, scheduler: Scheduler) -> None:
        self._ledger = ledger
        self._sweeper = sweeper
        self._scheduler = scheduler

    async def text(self) -> str:
        """Return all figures."""
        lines = [
            *self._own(),
            *self._schedule(),
            *await self._stored(),
            *await self._reactions(),
        ]
        parts = []
        for name, kind, help_text, value in lines:
            parts.append(f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n{name} {value}\n")
        name = "cronledger_http_answers_total"
        parts.append(f"# HELP {name} HTTP answers by status.\n# TYPE {name} counter\n")
        parts += [f'{name}{{status="{code}"}} {n}\n' for code, n in sorted(answers.counts.items())]
        return "".join(parts)

    def _own(self) -> list[Line]:
        counters = self._ledger.appender.counters
        usage = resource.getrusage(resource.RUSAGE_SELF)
        unit = 1 if sys.platform == "darwin" else 1024
        return [
            ("cronledger_commands_total", "counter", "Commands judged.", counters.commands),
            ("cronledger_commands_refused_total", "counter", "Refused ones.", counters.refusals),
            ("cronledger_events_total", "counter", "Events recorded here.", counters.events),
            (
                "cronledger_batches_total",
                "counter",
                "Transactions of the writer.",
                counters.batches,
            ),
            ("cronledger_batches_failed_total", "counter", "Failed ones.", counters.failures),
            (
                "cronledger_queue_length",
                "gauge",
                "Commands that wait.",
                self._ledger.appender.queued,
            ),
            (
                "cronledger_claims_waiting",
                "gauge",
                "Agents that wait.",
                self._ledger.waiting.claims,
            ),
            (
                "cronledger_followers",
                "gauge",
                "Readers of live output.",
                self._ledger.followers.count,
            ),
            (
                "cronledger_followed_reads_total",
                "counter",
                "Pieces of output read for them.",
                self._ledger.followers.reads,
            ),
            (
                "cronledger_event_followers",
                "gauge",
                "Readers of the ledger.",
                self._ledger.tail.count,
            ),
            (
                "cronledger_event_reads_total",
                "counter",
                "Reads of the log for them.",
                self._ledger.tail.reads,
            ),
            ("cronledger_given_up_total", "counter", "Ended by the sweep.", self._sweeper.swept),
            ("cronledger_memory_peak_bytes", "gauge", "Peak memory.", usage.ru_maxrss * unit),
            ("cronledger_start_time_seconds", "gauge", "Start, Unix time.", _started),
        ]

    def _schedule(self) -> list[Line]:
        done = self._scheduler.counters
        return [
            ("cronledger_due_times_total", "counter", "Times at which a job was due.", done.due),
            ("cronledger_missed_times_total", "counter", "Times that were missed.", done.missed),
            (
                "cronledger_released_total",
                "counter",
                "Executions that were held until others ended.",
                done.released,
            ),
            (
                "cronledger_schedule_lateness_seconds_total",
                "counter",
                "From due to recorded, of the times that were not missed.",
                done.lateness_seconds,
            ),
            (
                "cronledger_schedule_lateness_seconds_max",
                "gauge",
                "The highest of these.",
                done.lateness_seconds_max,
            ),
        ]

    async def _stored(self) -> list[Line]:
        async with self._ledger.pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT (SELECT max(position) FROM ledger.events),"
                " (SELECT position FROM read.projections WHERE name = 'executions'),"
                " (SELECT count(*) FROM (SELECT 1 FROM store.pending LIMIT 10000) AS p),"
                " (SELECT count(*) FROM read.executions_1 WHERE status = 'running')"
            )
            row = await cursor.fetchone() or (0, 0, 0, 0)
        position, projected, pending, running = (value or 0 for value in row)
        return [
            ("cronledger_position", "gauge", "Position of the last event.", position),
            ("cronledger_projected_position", "gauge", "Position of the read model.", projected),
            ("cronledger_pending", "gauge", "Executions that wait (at most 10,000).", pending),
            ("cronledger_running", "gauge", "Executions that run.", running),
        ]

    async def _reactions(self) -> list[Line]:
        async with self._ledger.pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT (SELECT count(*) FROM (SELECT 1 FROM store.planned_retries"
                " WHERE retry_at < clock_timestamp() LIMIT 10000) AS late),"
                " (SELECT count(*) FROM (SELECT 1 FROM store.deliveries WHERE state = 'pending'"
                " LIMIT 10000) AS untold),"
                " (SELECT max(e.position) - min(f.position) FROM ledger.events e,"
                " store.followers f WHERE e.position = (SELECT max(position) FROM ledger.events))"
            )
            row = await cursor.fetchone() or (0, 0, 0)
        late, untold, behind = (value or 0 for value in row)
        return [
            ("cronledger_retries_late", "gauge", "Automatic retries that wait past time.", late),
            ("cronledger_deliveries_pending", "gauge", "Messages to webhooks that wait.", untold),
            ("cronledger_followers_behind", "gauge", "Events not acted on yet.", behind),
        ]
