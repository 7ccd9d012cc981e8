"""What an agent may say about an execution it holds the lease of: the contract's calls."""

from __future__ import annotations

import time

from agent.client import Client, NotCronledger, Problem
from agent.kept_output import Chunk, KeptOutput
from agent.record import Record

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

EXECUTIONS = "/v1/cron-executions"
LEASE_LOST_CODE = "lease_lost"
_POLL_MARGIN_SECONDS = 5.0  # beyond the wait asked for, before an answer counts as lost
_ID_LENGTH_MAX = 64
_SCHEDULE = frozenset({"expected_schedule", "expected_timezone"})
_NOT_OURS = "the answer is not one of Cronledger: does something else answer at its address?"


class Lease(Record):
    """The right to report about one execution.

    Attributes:
        execution_id: Which execution.
        token: Goes back to the server with each call.
        heartbeat_seconds: How often the server wants to hear from us, at least.
        seconds: How long it holds from each renewal on.
    """

    execution_id: str
    token: str
    heartbeat_seconds: float
    seconds: float

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Lease:
        """Read the lease out of the answer to a claim, or to a create with `claim`.

        Raises NotCronledger if the id is not one that can be the name of a folder, or if the token
        or the times are none.
        """
        lease, execution_id = answer["lease"], answer["execution"]["id"]
        times = (lease["heartbeat_seconds"], lease["seconds"])
        if not (_is_id(execution_id) and _is_token(lease["token"]) and all(map(_is_time, times))):
            raise NotCronledger(_NOT_OURS, sent=True)
        return cls(
            execution_id=execution_id,
            token=lease["token"],
            heartbeat_seconds=lease["heartbeat_seconds"],
            seconds=lease["seconds"],
        )

    def document(self) -> dict[str, Any]:
        """Return it as a run's folder remembers it: `Lease(**document)` is the same again."""
        return self._asdict()

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
            raise NotCronledger(_NOT_OURS, sent=True)
        return next_offset, bool(_member(answer, "cancel_requested"))

    def complete(self, client: Client, report: Mapping[str, Any]) -> None:
        """Report how it ended; the same report may be sent again."""
        client.post(
            f"{EXECUTIONS}/{self.execution_id}/complete",
            report,
            headers={"Lease-Token": self.token},
        )


def create(client: Client, body: Mapping[str, Any], answer_seconds: float) -> Lease:
    """Create an execution under its own id, which may be repeated, and get the lease on it."""
    answer = client.post(EXECUTIONS, body, answer_seconds=answer_seconds).json()
    try:
        return Lease.from_answer(answer)
    except (LookupError, TypeError, AttributeError) as error:
        raise NotCronledger(_NOT_OURS, sent=True) from error


def _is_id(value: Any) -> bool:
    """Tell whether a value looks like an execution's id; no path, whoever has answered, does."""
    if not isinstance(value, str) or len(value) > _ID_LENGTH_MAX:
        return False
    prefix, _, rest = value.partition("_")
    return prefix == "exec" and rest.isascii() and rest.isalnum()


def _is_token(value: Any) -> bool:
    """Tell whether a value can go back in a header."""
    return isinstance(value, str) and value.isascii() and value.isprintable()


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 < value < float("inf")


def without_schedule(body: Mapping[str, Any], problem: Problem) -> dict[str, Any] | None:
    """Return the body of a create without the schedule, if that is what the server refused.

    A record that does not say when the job should run is better than none.
    """
    if not _SCHEDULE.intersection(body).intersection(problem.fields):
        return None
    return {name: value for name, value in body.items() if name not in _SCHEDULE}


def _member(answer: Any, name: str) -> Any:
    """Return a member of an answer; one without it is no answer of the server's."""
    if not isinstance(answer, dict) or name not in answer:
        raise NotCronledger(_NOT_OURS, sent=True)
    return answer[name]


def report_of(
    ending: Mapping[str, Any],
    outputs: tuple[KeptOutput, KeptOutput],
    *,
    told_late: bool = False,
    output_refused: bool = False,
) -> dict[str, Any]:
    """Return the body of the final report, the same each time but for its time.

    `told_late`: nobody told the server when it happened, so the report says when it was.
    `output_refused`: the server takes no more output, so the report claims no length that the
    server would then wait for: what counts is what it has.
    """
    report = {
        name: ending.get(name)
        for name in ("outcome", "exit_code", "signal", "failure_reason", "error", "duration_ms")
    }
    for output in () if output_refused else outputs:
        report[f"{output.name}_bytes"] = output.told_bytes
        report[f"{output.name}_sha256"] = _digest(ending, output)
    if ending.get("masked"):
        report["masked"] = True
    if told_late:
        report["ended_at"] = timestamp(ending["ended_at"])
    return report


def _digest(ending: Mapping[str, Any], output: KeptOutput) -> Any:
    counted = ending["streams"].get(output.name)
    return counted["sha256"] if counted and counted["bytes"] == output.told_bytes else None


def timestamp(seconds: float) -> str:
    """Return a moment as it travels: RFC 3339 in UTC, with milliseconds."""
    milliseconds = round(seconds * 1000)
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
    return f"{whole}.{milliseconds % 1000:03d}Z"
