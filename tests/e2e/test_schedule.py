"""Jobs on a real server and agent, by the real clock: minutes long, for `make soak`."""

import time
from datetime import datetime, timedelta

import pytest

from tests.contract.test_jobs import PATH, made, post
from tests.e2e.conftest import QUICK
from tests.support import invariants
from tests.support.agents import running_agent
from tests.support.calls import Api, eventually, fresh
from tests.support.postgres import Postgres
from tests.support.server import ServerProcess, running_server
from tests.support.tokens import owner_conninfo

MINUTES = 3


@pytest.mark.soak
@pytest.mark.timeout(420)
def test_minutely_jobs_run_each_minute_once(quick: ServerProcess) -> None:
    """Three minutes: each job runs each minute, within two seconds, and an overlap is a fact."""
    api, names = quick.api, [fresh("job") for _ in range(5)]
    with running_agent(quick) as agent:
        jobs = [
            post(
                api,
                "",
                {
                    "name": name,
                    "schedule": "* * * * *",
                    "command": f"sleep {70 if number == 0 else 0}; echo {name}",
                    "agent_id": agent.agent_id,
                    "overlap_policy": "skip" if number == 0 else "allow",
                },
            )
            .ok(201)
            .json()
            for number, name in enumerate(names)
        ]
        began = datetime.fromisoformat(jobs[0]["created_at"])
        first = began.replace(second=0, microsecond=0) + timedelta(minutes=1)
        due = [first + timedelta(minutes=number) for number in range(MINUTES)]

        def all_ran() -> bool:
            pages = [api.get("", {"job_id": job["id"]}).ok().json()["data"] for job in jobs[1:]]
            return all(
                len(page) >= MINUTES and all(one["status"] == "success" for one in page)
                for page in pages
            )

        eventually(all_ran, "three minutes of runs", seconds=60 * MINUTES + 40)
        for job in jobs[1:]:
            ran = api.get("", {"job_id": job["id"]}).ok().json()["data"]
            times = sorted(datetime.fromisoformat(one["scheduled_for"]) for one in ran)
            assert times[:MINUTES] == due
            assert {one["triggered_by"] for one in ran} == {"scheduled"}
            for one in ran:
                late = datetime.fromisoformat(one["started_at"]).timestamp()
                late -= datetime.fromisoformat(one["scheduled_for"]).timestamp()
                assert 0 <= late < 2
        passed = api.request("GET", f"{PATH}/{jobs[0]['id']}/skipped").ok().json()["data"]
        assert {one["reason"] for one in passed} == {"overlap"}
        for job in jobs:
            api.request("DELETE", f"{PATH}/{job['id']}").ok(204)
        slow = api.get("", {"job_id": jobs[0]["id"]}).ok().json()["data"]
        for one in slow:
            api.until_ended(one["id"], seconds=90)
    assert time.time() > first.timestamp()
    invariants.check(owner_conninfo(quick))


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_server_that_dies_at_the_due_time_costs_none(postgres: Postgres) -> None:
    """Two servers; one is killed as the minute comes round: each time is acted on once, in time."""
    database = postgres.fresh()
    settings = QUICK | {
        "CRONLEDGER_DATABASE_URL": database.owner,
        "CRONLEDGER_SECRET_KEY": bytes(range(32)).hex(),
    }
    with running_server(settings=settings) as first, running_server(settings=settings) as second:
        api = Api(second.url, first.admin_token)
        jobs = [made(api, schedule="* * * * *") for _ in range(200)]
        began = datetime.fromisoformat(jobs[-1]["created_at"])
        due = began.replace(second=0, microsecond=0) + timedelta(minutes=1)
        # when
        time.sleep(max(0.0, due.timestamp() + 0.03 - time.time()))
        first.kill()

        # then
        def count(number: int) -> bool:
            with database.as_owner() as owner:
                found = owner.execute(
                    "SELECT count(*) FROM read.executions_1 WHERE scheduled_for = %s",
                    [due + timedelta(minutes=number)],
                ).fetchone()
            return found is not None and found[0] == len(jobs)

        eventually(lambda: count(0), "the first minute", seconds=30)
        eventually(lambda: count(1), "the second minute", seconds=90)
        with database.as_owner() as owner:
            late = owner.execute(
                "SELECT max(extract(epoch FROM e.recorded_at - x.scheduled_for))"
                " FROM read.executions_1 x JOIN ledger.events e"
                " ON e.stream_id = x.id AND e.version = 1"
            ).fetchone()
        assert late is not None
        assert late[0] < 10
        invariants.check(database.owner)
    postgres.drop(database)
