"""Executions as people and programs see them. Pure: from a view of the read model to the wire."""

from datetime import datetime
from typing import Any, Final

from api import wire
from domain import ids
from projections.executions import Row
from projections.queries import View
from store import configurations
from store.configurations import Job
from store.output import StoredStream

PREVIEW_CHARACTERS: Final = 1000
_MESSAGE_CHARACTERS: Final = 4000


def execution(view: View, now: datetime) -> wire.Execution:
    """Return an execution as a list shows it: output and error cut to 1,000 characters."""
    row, texts = view.row, view.texts
    kept = _trimmed(texts.stdout, row.stdout_kept_bytes)
    written_bytes = texts.stdout.sealed(row.stdout_kept_bytes).written_bytes
    output = kept.decode(errors="replace")[:PREVIEW_CHARACTERS]
    shown_whole = written_bytes == len(kept) and len(kept) <= PREVIEW_CHARACTERS
    if not shown_whole:
        shown_whole = written_bytes == len(output.encode())
    stderr = _trimmed_tail(texts.stderr, row.stderr_kept_bytes).decode(errors="replace")
    error = _error(view, stderr[-PREVIEW_CHARACTERS:])
    job = configurations.shown(texts.configuration)
    return wire.Execution(*_common(view, job, now, (output, error, written_bytes, not shown_whole)))


def detail(view: View, stdout: bytes, stderr: bytes, now: datetime) -> wire.ExecutionDetail:
    """Return an execution with all that was kept of its output and error logs."""
    told = view.texts.stdout.sealed(view.row.stdout_kept_bytes)
    told_errors = view.texts.stderr.sealed(view.row.stderr_kept_bytes)
    job = configurations.shown(view.texts.configuration)
    stderr_text = with_cut(stderr, told_errors)
    written = with_cut(stdout, told), _error(view, stderr_text), told.written_bytes, _is_cut(told)
    values = (
        *_common(view, job, now, written),
        stderr_text,
        told_errors.written_bytes,
        _is_cut(told_errors),
        job.working_dir,
        job.stop_when_cut_off,
        job.expected_schedule,
        job.expected_timezone,
    )
    return wire.ExecutionDetail(*values)


def claimed(view: View, job: Job, now: datetime) -> wire.ClaimedExecution:
    """Return an execution for the agent that runs it: with secrets, for its eyes only."""
    values = (
        *_common(view, job, now, ("", None, 0, False)),
        {**job.environment, **job.secrets},
        sorted(job.secrets),
        job.working_dir,
        job.stop_when_cut_off,
    )
    return wire.ClaimedExecution(*values)


def _is_cut(stream: StoredStream) -> bool:
    is_gone = stream.erased_at is not None and stream.written_bytes > 0
    return is_gone or stream.omitted_from is not None


def with_cut(kept: bytes, stream: StoredStream) -> str:
    """Return what was kept as text, the cut marked with how much is missing."""
    if stream.omitted_from is None or stream.omitted_to is None:
        return kept.decode(errors="replace")
    missing = stream.omitted_to - stream.omitted_from
    head, tail = kept[: stream.omitted_from], kept[stream.omitted_from :]
    mark = f"\n[… {missing} bytes were left out here …]\n"
    return head.decode(errors="replace") + mark + tail.decode(errors="replace")


def _trimmed(stream: StoredStream, sealed_bytes: int | None) -> bytes:
    """Return the preview without bytes that came after the outcome was recorded."""
    return stream.preview if sealed_bytes is None else stream.preview[:sealed_bytes]


def _trimmed_tail(stream: StoredStream, sealed_bytes: int | None) -> bytes:
    """Return the same of a preview that shows the end of its stream."""
    after = 0 if sealed_bytes is None else max(0, stream.kept_bytes - sealed_bytes)
    return stream.preview[: max(0, len(stream.preview) - after)]


def _common(
    view: View, job: Job, now: datetime, written: tuple[str, str | None, int, bool]
) -> tuple[Any, ...]:
    """Return the values of `wire.Execution` in the order of its fields.

    By name they would cost four times as much, which every answer pays. `written` are output,
    error, output_bytes and output_truncated.
    """
    row = view.row
    output, error, output_bytes, output_truncated = written
    late = None
    if row.late_outcome is not None and row.late_reported_at is not None:
        reported_at = wire.timestamp(row.late_reported_at)
        late = wire.LateOutcome(row.late_outcome, row.late_exit_code, reported_at)  # type: ignore[arg-type]  # as the event said
    own_id = ids.to_text(ids.EXECUTION, row.id)
    is_root = row.root_id == row.id
    return (
        own_id,
        row.job_id,
        job.job_name,
        row.status,
        row.exit_code,
        duration_ms(row, now),
        row.triggered_by,
        output,
        error,
        wire.optional_timestamp(row.started_at),
        wire.optional_timestamp(row.completed_at),
        wire.timestamp(ids.created_at(row.id)),
        wire.optional_timestamp(row.scheduled_for),
        row.timeout_seconds,
        job.command,
        row.attempt,
        ids.to_text(ids.EXECUTION, row.retry_of) if row.retry_of else None,
        own_id if is_root else ids.to_text(ids.EXECUTION, row.root_id),
        ids.to_text(ids.EXECUTION, row.retried_as) if row.retried_as else None,
        row.agent_id,
        row.pinned_agent_id,
        wire.optional_timestamp(row.cancel_requested_at),
        row.failure_reason,
        row.signal,
        output_bytes,
        output_truncated,
        late,
        row.labels or [],
        row.start_deadline_seconds,
        row.held,
        row.masked,
        wire.optional_timestamp(view.texts.stdout.erased_at),
        view.texts.configuration is None,
    )


def duration_ms(row: Row, now: datetime) -> int:
    """Return how long it took, or has taken so far."""
    if row.duration_ms is not None:
        return row.duration_ms
    if row.started_at is None:
        return 0
    return max(0, round((now - row.started_at).total_seconds() * 1000))


def _error(view: View, stderr: str) -> str | None:
    """Return what went wrong: the error log if there is any, else one sentence."""
    row = view.row
    if row.status not in {"failed", "timeout"}:
        return None
    if stderr:
        return stderr
    if view.texts.message is not None:
        return view.texts.message.decode(errors="replace")[:_MESSAGE_CHARACTERS]
    if row.status == "timeout":
        limit = f" after {row.timeout_seconds} s" if row.timeout_seconds is not None else ""
        return f"timed out{limit}"
    match row.failure_reason:
        case "agent_lost":
            return "agent lost: its lease ran out without a heartbeat"
        case "signal":
            return "ended by a signal" if row.signal is None else f"ended by signal {row.signal}"
        case "not_started":
            return f"not started: no agent took it within {row.start_deadline_seconds} s"
        case "agent_shutdown":
            return "ended because its agent was shut down"
        case _:
            return f"exited with code {row.exit_code}"
