"""What an agent may say about an execution it holds the lease of: the contract's calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.client import Client, Unreachable
from agent.output import Chunk
from agent.process import Ending
from agent.run import Outputs

EXECUTIONS = "/v1/cron-executions"
LEASE_LOST_CODE = "lease_lost"
_POLL_MARGIN_SECONDS = 5.0  # beyond the wait asked for, before an answer counts as lost
DEFAULT_HEARTBEAT_SECONDS = 10
_NOT_OURS = "the answer is not one of Cronledger: does something else answer at its address?"


@dataclass(frozen=True)
class Lease:
    """The right to report about one execution.

    Attributes:
        execution_id: Which execution.
        token: Goes back to the server with each call.
        heartbeat_seconds: How often the server wants to hear from us, at least.
    """

    execution_id: str
    token: str
    heartbeat_seconds: int

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Lease:
        """Read the lease out of the answer to a claim, or to a create with `claim`."""
        lease = answer["lease"]
        return cls(
            execution_id=answer["execution"]["id"],
            token=lease["token"],
            heartbeat_seconds=lease.get("heartbeat_seconds", DEFAULT_HEARTBEAT_SECONDS),
        )

    def heartbeat(self, client: Client, wait_seconds: int) -> bool:
        """Renew the lease; True if a cancel is requested, told within `wait_seconds`."""
        answer = client.post(
            f"{EXECUTIONS}/{self.execution_id}/heartbeat",
            {"wait_seconds": wait_seconds},
            headers={"Lease-Token": self.token},
            answer_seconds=wait_seconds + _POLL_MARGIN_SECONDS,
        )
        return bool(_member(answer.json(), "cancel_requested"))

    def append(self, client: Client, stream_name: str, chunk: Chunk) -> tuple[int, bool]:
        """Send output; return the offset the server wants next, and if a cancel is requested."""
        query = [("stream", stream_name), ("offset", str(chunk.offset))]
        if chunk.skip_to is not None:
            query.append(("skip_to", str(chunk.skip_to)))
        answer = client.request(
            "POST",
            f"{EXECUTIONS}/{self.execution_id}/logs",
            query=query,
            headers={"Lease-Token": self.token, "Content-Type": "application/octet-stream"},
            body=chunk.data,
        ).json()
        next_offset = _member(answer, "next_offset")
        if not isinstance(next_offset, int):
            raise Unreachable(_NOT_OURS, sent=True)
        return next_offset, bool(_member(answer, "cancel_requested"))

    def complete(self, client: Client, report: Mapping[str, Any]) -> None:
        """Report how it ended; the same report may be sent again."""
        client.post(
            f"{EXECUTIONS}/{self.execution_id}/complete",
            report,
            headers={"Lease-Token": self.token},
        )


def _member(answer: Any, name: str) -> Any:
    """Return a member of an answer; one without it is no answer of the server's: Unreachable."""
    if not isinstance(answer, dict) or name not in answer:
        raise Unreachable(_NOT_OURS, sent=True)
    return answer[name]


def report_of(ending: Ending, outputs: Outputs) -> dict[str, Any]:
    """Return the body of the final report, built once so that each repetition is the same."""
    return {
        "outcome": ending.outcome,
        "exit_code": ending.exit_code,
        "signal": ending.signal,
        "failure_reason": ending.failure_reason,
        "error": ending.error,
        "duration_ms": ending.duration_ms,
        "stdout_bytes": outputs.stdout.size,
        "stderr_bytes": outputs.stderr.size,
        "stdout_sha256": outputs.stdout.sha256(),
        "stderr_sha256": outputs.stderr.sha256(),
    }
