"""How much ended how, and how long it took: per job and interval."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from litestar import Request, get
from litestar.types import ASGIApp

from api import answers, parameters, wire, wire_statistics
from api.ledger import of
from api.problems import invalid
from api.routes.executions import PATH
from projections import summaries
from projections.summaries import Interval, Summary, Wanted

Req = Request[Any, Any, Any]

_INTERVALS: Final = ("hour", "day", "all")
_GROUPS: Final = ("all", "job")
# So much is shown if `from` is not given.
_SHOWN: Final = {"hour": timedelta(hours=23), "day": timedelta(days=29)}
# Later than that no interval could end.
_LATEST: Final = datetime(9999, 12, 30, tzinfo=UTC)


@get(PATH + "/stats")
async def read_statistics(request: Req) -> ASGIApp:
    """Return statistics of what ended."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    try:
        asked = _asked(request)
        found = await summaries.read(ledger.pool, asked)
    except summaries.TooMuch as error:
        raise invalid(
            "interval",
            f"makes more than {summaries.SUMMARIES_MAX} parts of that; ask for a shorter time, for"
            " fewer jobs, or for longer intervals",
        ) from error
    ranged = asked.interval != "all"
    return answers.json(
        wire_statistics.Statistics(
            interval=asked.interval,
            group_by="job" if asked.by_job else "all",
            starts_at=wire.timestamp(asked.lowest) if ranged else None,
            ends_at=wire.timestamp(asked.beyond) if ranged else None,
            data=[_shown(one, asked.interval) for one in found],
        )
    )


def _asked(request: Req) -> Wanted:
    """Return what a request asks for. Raises `Problem` 400 and `TooMuch`."""
    known = ("job_id", "from", "to", "interval", "group_by")
    values = parameters.query(request, known, repeatable=("job_id",))
    job_ids = parameters.job_ids(values)
    start, end = parameters.bound(values, "from"), parameters.bound(values, "to")
    ranged = start is not None or end is not None
    interval = cast("Interval", _one_of(values, "interval", _INTERVALS, "day" if ranged else "all"))
    if ranged and interval == "all":
        raise invalid("interval", "must be hour or day together with from or to")
    end = min(end or wire.now(), _LATEST)
    start = start if start is not None else _before(end, interval)
    if start > end:
        raise invalid("from", "must not be after to")
    return summaries.wanted(
        job_ids,
        interval,
        by_job=_one_of(values, "group_by", _GROUPS, "all") == "job",
        lowest=start,
        beyond=end,
    )


def _before(end: datetime, interval: Interval) -> datetime:
    shown = _SHOWN.get(interval, timedelta())
    return end - shown if end - datetime.min.replace(tzinfo=UTC) > shown else end


def _one_of(values: dict[str, list[str]], key: str, allowed: tuple[str, ...], default: str) -> str:
    value = values.get(key, [default])[0]
    if value not in allowed:
        raise invalid(key, f"{value[:40]!r} is none of {', '.join(allowed)}")
    return value


def _shown(one: Summary, interval: Interval) -> wire_statistics.Summary:
    counts = {
        status: one.counts.get(status, 0) for status in ("success", *summaries.FAILURES, "canceled")
    }
    rate = one.success_rate
    ends_at = None if one.starts_at is None else one.starts_at + summaries.LENGTHS[interval]
    median = one.percentile(0.5)
    return wire_statistics.Summary(
        job_id=one.job_id,
        starts_at=wire.optional_timestamp(one.starts_at),
        ends_at=wire.optional_timestamp(ends_at),
        ended=sum(counts.values()),
        by_status=wire_statistics.EndedCounts(**counts),
        success_rate=round(rate, 6) if rate is not None else None,
        duration_ms=wire_statistics.Durations(
            p50=median,
            p95=one.percentile(0.95),
            max=one.duration_max_ms if median is not None else None,
        ),
        last_success_at=wire.optional_timestamp(one.last_of(("success",))),
        last_failure_at=wire.optional_timestamp(one.last_of(summaries.FAILURES)),
    )


HANDLERS: Final = (read_statistics,)
