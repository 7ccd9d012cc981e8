"""Nothing that was recorded stays untold or unretried, whenever a server is killed."""

from typing import Any

from tests.contract.test_jobs import made
from tests.contract.test_webhooks import PATH, ended
from tests.support import invariants
from tests.support.calls import Api, eventually, fresh
from tests.support.receiver import running_receiver
from tests.support.server import running_server
from tests.support.tokens import owner_conninfo

HERE = {"CRONLEDGER_WEBHOOK_NETWORKS": "127.0.0.1/32"}


def retries(api: Api, job: dict[str, Any]) -> list[dict[str, Any]]:
    """The automatic retries of a job."""
    return list(api.get("", {"job_id": job["id"], "triggered_by": "retry"}).ok().json()["data"])


def test_what_a_killed_server_had_not_told_the_next_one_tells() -> None:
    """Killed right after the commits: every failure is told under its id, and retried once."""
    with running_receiver() as receiver, running_server(settings=HERE) as server:
        api = server.api
        config = {"max_retries": 1, "intervals_seconds": [0]}
        job = made(api, agent_id=fresh("nobody"), retry_config=config)
        hook = {"name": "hook", "url": receiver.url, "events": ["failure"]}
        secret = api.request("POST", PATH, payload=hook).ok(201).json()["secret"]
        failed = []
        # While one message is held by the target, others wait; all are cut off by the kill.
        receiver.gate.clear()
        failed += [ended(api, job, "failed") for _ in range(5)]
        eventually(lambda: receiver.received, "a message under way")
        failed += [ended(api, job, "failed") for _ in range(5)]
        server.kill()
        receiver.gate.set()
        server.start()
        api = server.api

        def told() -> set[str]:
            return {one.message["execution"]["id"] for one in receiver.received}

        # The one that was under way is taken again when its minute is over.
        under_way = receiver.received[0].message["execution"]["id"]
        eventually(lambda: told() >= set(failed), "every failure told", 30)
        assert all(one.is_signed_with(secret) for one in receiver.received)
        by_execution: dict[str, set[str]] = {}
        for one in receiver.received:
            about = by_execution.setdefault(one.message["execution"]["id"], set())
            about.add(one.headers["cronledger-event-id"])
        assert all(len(about) == 1 for about in by_execution.values())
        assert under_way in by_execution
        eventually(lambda: len(retries(api, job)) == len(failed), "every failure retried", 40)
        assert {one["retry_of"] for one in retries(api, job)} == set(failed)
        invariants.check(owner_conninfo(server))
        assert "Traceback" not in server.stderr
