"""How an agent works, and what it is given to do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from agent.lease import Lease
from agent.process import KILL_GRACE_SECONDS, scratch_environment

CONCURRENCY = 4
CLAIM_WAIT_SECONDS = 5
LAST_REPORT_SECONDS = 20.0
# What was granted under a claim's id is lost after a lease without a heartbeat, and the id with it.
CLAIM_ID_SECONDS = 30.0


class Settings(NamedTuple):
    """How an agent works.

    Attributes:
        agent_id: The name under which its executions are recorded.
        runs: The folder of its runs' folders.
        concurrency: How many commands may run at once.
        claim_wait_seconds: How long one claim waits for work.
        kill_grace_seconds: From SIGTERM to SIGKILL.
        drain_seconds: How long commands may go on when the agent is to stop.
        last_report_seconds: How long a stopping agent tries to deliver outcomes after the grace.
        claim_id_seconds: How long one claim is repeated to a server that answers with 5xx.
        user: Who runs the commands, if not we ourselves.
        mask_patterns: What is masked in output, beside the secrets of each execution.
        labels: What this agent has, for executions that ask for it.
        version: Which Cronledger this is, for those who look at the agents.
    """

    agent_id: str
    runs: Path
    concurrency: int = CONCURRENCY
    claim_wait_seconds: int = CLAIM_WAIT_SECONDS
    kill_grace_seconds: float = KILL_GRACE_SECONDS
    drain_seconds: float = 0.0
    last_report_seconds: float = LAST_REPORT_SECONDS
    claim_id_seconds: float = CLAIM_ID_SECONDS
    user: str | None = None
    mask_patterns: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    version: str | None = None


class Assignment(NamedTuple):
    """A claimed execution: what to run, and the lease to report under."""

    lease: Lease
    job_name: str
    stop_when_cut_off: bool
    execution: Mapping[str, Any]
    claimed_at: float

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any], claimed_at: float) -> Assignment:
        """Read the answer to a claim that was sent at this monotonic time."""
        execution = answer["execution"]
        return cls(
            Lease.from_answer(answer),
            execution["job_name"],
            execution.get("stop_when_cut_off") is True,
            execution,
            claimed_at,
        )

    def run(self) -> dict[str, Any]:
        """Return what the run's folder says of it: nothing that is secret but the lease."""
        return {
            "lease": self.lease.document(),
            "job_name": self.job_name,
            "stop_when_cut_off": self.stop_when_cut_off,
            "started_at": time.time(),
        }

    def job(self, settings: Settings) -> dict[str, Any]:
        """Return what the supervisor is told."""
        own = self.execution.get("environment") or {}
        return {
            "command": self.execution["command"],
            "environment": scratch_environment(
                own, self.lease.execution_id, self.job_name, settings.user
            ),
            "working_dir": self.execution.get("working_dir"),
            "user": settings.user,
            "timeout_seconds": self.execution.get("timeout_seconds"),
            "grace_seconds": settings.kill_grace_seconds,
            "secrets": [own[name] for name in self.execution.get("secrets") or () if name in own],
            "patterns": settings.mask_patterns,
            "stop_when_cut_off": self.stop_when_cut_off,
            "lease_seconds": self.lease.seconds,
            "renewed_at": self.claimed_at,
        }
