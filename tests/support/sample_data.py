"""A day in the life of a small firm's cron jobs, for those who look at the pages."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.calls import Api, Held, execution_id

AGENTS = ("db-1", "web-1", "web-2", "batch-1")
_OUTPUT = "\x1b[1m{name}\x1b[0m: begin\n{lines}\x1b[32mdone\x1b[0m in {seconds:.1f} s\n"


@dataclass(frozen=True)
class Sample:
    """A job, how often it runs, how long it takes, and what goes wrong with it."""

    name: str
    schedule: str
    every_minutes: int
    seconds: float
    command: str
    agent: str
    error: str = ""
    fails: tuple[int, ...] = ()  # which of its runs, the newest is 1
    times_out: tuple[int, ...] = ()
    stops_before: int = 0  # so many of the newest runs did not come
    environment: dict[str, str] = field(default_factory=dict)


SAMPLES = (
    Sample(
        *("postgres-backup", "15 * * * *", 60, 340, "/opt/jobs/backup.sh --all", "db-1"),
        error="pg_dump: error: connection to server at 10.0.0.5, port 5432 failed\n"
        "backup.sh: no space left on device: /var/backups/main.dump\n",
        fails=(1, 2),
        environment={"PGHOST": "10.0.0.5", "PGPASSWORD": "swordfish-4711"},
    ),
    Sample(
        *("billing-export", "0 */2 * * *", 120, 95, "export-invoices --since yesterday", "batch-1"),
        error="requests.exceptions.HTTPError: 502 Bad Gateway for url: /v2/invoices\n",
        fails=(3, 7),
    ),
    Sample(
        *("search-reindex", "30 * * * *", 60, 610, "reindex --shards 8", "web-1"), times_out=(1, 9)
    ),
    Sample(
        *("certificate-renewal", "0 */6 * * *", 360, 12, "certbot renew --quiet", "web-2"),
        stops_before=1,
    ),
    Sample(
        *("newsletter-queue", "*/20 * * * *", 20, 8, "send-queue --limit 500", "web-1"), fails=(22,)
    ),
    Sample(*("cache-warm", "*/30 * * * *", 30, 31, "warm-cache /", "web-2")),
    Sample(*("log-rotate", "45 * * * *", 60, 2.4, "logrotate /etc/logrotate.conf", "db-1")),
    Sample(
        *("stock-sync", "*/20 * * * *", 20, 21, "sync-stock --warehouse all", "batch-1"),
        fails=(31,),
    ),
    Sample(*("metrics-rollup", "5 * * * *", 60, 44, "rollup --hour last", "db-1")),
    Sample(
        *("image-thumbnails", "10 * * * *", 60, 130, "thumbs --missing", "batch-1"), times_out=(4,)
    ),
    Sample(*("session-cleanup", "50 * * * *", 60, 5.5, "delete-sessions --older 30d", "web-1")),
    Sample(*("report-daily", "0 4 * * *", 1440, 720, "make-report --daily", "batch-1")),
)


def fill(api: Api, hours: int = 26) -> None:
    """Record what ran in the last hours."""
    chance = random.Random(4711)  # noqa: S311 - the same day each time
    now = datetime.now(UTC)
    runs = [run for sample in SAMPLES for run in _runs(sample, now, hours, chance)]
    runs.sort(key=lambda run: run[0])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda run: _record(api, *run), runs))


def _runs(
    sample: Sample, now: datetime, hours: int, chance: random.Random
) -> Iterator[tuple[datetime, Sample, int, float]]:
    every = timedelta(minutes=sample.every_minutes)
    minute = int(sample.schedule.split()[0].partition("/")[0].replace("*", "0"))
    last = now.replace(minute=0, second=1, microsecond=0) + timedelta(minutes=minute)
    last -= timedelta(hours=last.hour * 60 % max(60, sample.every_minutes) // 60)
    while last > now:
        last -= every
    count = max(3, hours * 60 // sample.every_minutes)
    for number in range(1, count + 1):
        if number > sample.stops_before:
            slow = 1.6 if number < 6 and sample.name == "image-thumbnails" else 1.0
            yield last - (number - 1) * every, sample, number, slow * chance.uniform(0.75, 1.3)


def _record(api: Api, at: datetime, sample: Sample, number: int, factor: float) -> None:
    seconds = sample.seconds * factor
    body: dict[str, Any] = {
        "id": execution_id(at),
        "job_name": sample.name,
        "command": sample.command,
        "environment": sample.environment,
        "secrets": [name for name in sample.environment if "PASSWORD" in name],
        "triggered_by": "scheduled",
        "timeout_seconds": 900,
        "expected_schedule": sample.schedule,
        "claim": {"agent_id": sample.agent, "started_at": at.isoformat()},
    }
    held = Held(api, api.post("", body).ok(201).json())
    if at + timedelta(seconds=900 if number in sample.times_out else seconds) > datetime.now(UTC):
        return  # it still runs
    report: dict[str, Any] = {"outcome": "exited", "exit_code": 0}
    if number in sample.fails:
        report["exit_code"] = 1
        held.append(sample.error.encode(), stream="stderr").ok()
    elif number in sample.times_out:
        seconds = 900
        report = {"outcome": "timed_out", "exit_code": 143, "signal": 15}
    lines = "".join(f"  step {n} of 4 \x1b[36mok\x1b[0m\n" for n in range(1, 5))
    held.append(_OUTPUT.format(name=sample.name, lines=lines, seconds=seconds).encode()).ok()
    report["duration_ms"] = round(seconds * 1000)
    report["ended_at"] = (at + timedelta(seconds=seconds)).isoformat()
    held.complete(**report).ok()


def begin_running(api: Api) -> Held:
    """Begin something that still runs, with output in colours."""
    for agent, name in (("web-1", "newsletter-queue"), ("db-1", "metrics-rollup")):
        schedule = next(sample.schedule for sample in SAMPLES if sample.name == name)
        api.start(
            job_name=name,
            command="work",
            claim={"agent_id": agent},
            triggered_by="scheduled",
            expected_schedule=schedule,
        )
    for agent, labels in zip(AGENTS, (["database"], ["web"], ["web", "spare"], []), strict=True):
        claim = {"agent_id": agent, "labels": labels, "version": "0.1.0", "concurrency": 4}
        api.post("/claim", claim).ok(200, 204)
    held = api.start(
        job_name="database-migration",
        command=["migrate", "--to", "0042", "--verbose"],
        environment={"DATABASE": "main", "MIGRATE_TOKEN": "opensesame-99"},
        secrets=["MIGRATE_TOKEN"],
        claim={"agent_id": "batch-1"},
    )
    text = "\x1b[1mMigrating main to 0042\x1b[0m\n"
    for number in range(31, 42):
        took = f"\x1b[2m{number * 37 % 90} ms\x1b[0m"
        text += f"\x1b[32mOK\x1b[0m   00{number}_step {took}\n"
    text += "\x1b[33mWARN\x1b[0m 0042_index: 1,204,331 rows to go\n"
    text += "     a job that prints <script>alert(1)</script> shows it \x1b]0;title\x07\n"
    held.append(text.encode()).ok()
    return held
