"""Who may begin an execution, and until when: labels and start deadlines."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from domain.ids import EXECUTION, from_text
from tests.support.calls import Api, eventually, execution_id, fresh, waiting_claims
from tests.support.problems import check_problem
from tests.support.server import ServerProcess
from tests.support.tokens import owner_conninfo


def claimed(api: Api, agent: str, *labels: str, **fields: Any) -> str | None:
    """Claim as an agent with these labels; return the id of what it got."""
    body = {"agent_id": agent, "labels": labels, **fields}
    reply = api.post("/claim", body).ok(200, 204)
    return reply.json()["execution"]["id"] if reply.status == 200 else None


@pytest.fixture(autouse=True)
def nothing_for_anyone(api: Api) -> None:
    """Take what other tests have left for anyone."""
    while claimed(api, fresh("agent")) is not None:
        pass


def test_only_an_agent_with_all_labels_gets_it(api: Api) -> None:
    """One label missing, and it is not given; with more than it asks for, it is."""
    gpu, ssd, agent = fresh("gpu"), fresh("ssd"), fresh("agent")
    made = api.create(pinned_agent_id=None, labels=[ssd, gpu, gpu])
    assert made["labels"] == sorted([gpu, ssd])
    for labels in ([], [gpu], [ssd, fresh("other")]):
        assert claimed(api, agent, *labels) is None
    assert claimed(api, agent, fresh("other"), ssd, gpu) == made["id"]
    assert api.one(made["id"])["agent_id"] == agent
    assert api.events(made["id"])[0]["data"]["labels"] == sorted([gpu, ssd])


def test_a_pinned_execution_asks_its_agent_for_labels_too(api: Api) -> None:
    """Pin and labels both hold; exact pin comes before anyone's, then the lowest id."""
    gpu, agent = fresh("gpu"), fresh("agent")
    anyones = api.create(pinned_agent_id=None, labels=[gpu])["id"]
    labelled = api.create(pinned_agent_id=agent, labels=[gpu])["id"]
    plain = api.create(pinned_agent_id=agent)["id"]
    assert claimed(api, agent) == plain
    assert claimed(api, agent) is None
    assert claimed(api, fresh("other"), gpu) == anyones
    assert claimed(api, agent, gpu) == labelled


def test_a_retry_keeps_labels_and_deadline(api: Api) -> None:
    """The new execution asks for the same labels, and waits as long from its own creation."""
    gpu, agent = fresh("gpu"), fresh("agent")
    made = api.create(pinned_agent_id=agent, labels=[gpu], start_deadline_seconds=3600)["id"]
    lease = api.post("/claim", {"agent_id": agent, "labels": [gpu]}).ok().json()["lease"]
    headers = {"Lease-Token": lease["token"]}
    api.post(f"/{made}/complete", {"outcome": "exited", "exit_code": 1}, headers=headers).ok()
    again = api.post(f"/{made}/retry").ok(201).json()
    assert (again["labels"], again["start_deadline_seconds"]) == ([gpu], 3600)
    assert claimed(api, agent) is None
    assert claimed(api, agent, gpu) == again["id"]


def test_work_with_a_label_wakes_who_has_it(api: Api) -> None:
    """Of two agents that wait, the one with the label gets it at once, though it came later."""
    gpu, bare, able = fresh("gpu"), fresh("agent"), fresh("agent")
    before = waiting_claims(api)
    with ThreadPoolExecutor(2) as threads:

        def wait(agent: str, *labels: str) -> Any:
            return threads.submit(claimed, api, agent, *labels, wait_seconds=10)

        without = wait(bare)
        eventually(lambda: waiting_claims(api) == before + 1, "the first claim waits")
        having = wait(able, gpu)
        eventually(lambda: waiting_claims(api) == before + 2, "both claims wait")
        made = api.create(pinned_agent_id=None, labels=[gpu])["id"]
        assert having.result(5) == made
        plain = api.create(pinned_agent_id=bare)["id"]
        assert without.result(5) == plain


def test_a_waiting_agent_gets_work_in_the_commit_that_records_it(
    api: Api, server: ServerProcess
) -> None:
    """Created and started are one commit: nobody has to be woken, and to ask again."""
    agent, before = fresh("agent"), waiting_claims(api)
    with ThreadPoolExecutor(1) as threads:
        waits = threads.submit(claimed, api, agent, wait_seconds=10)
        eventually(lambda: waiting_claims(api) == before + 1, "the claim waits")
        made = api.create(pinned_agent_id=agent)
        assert waits.result(5) == made["id"]
    with psycopg.connect(owner_conninfo(server)) as owner:
        commits = owner.execute(
            "SELECT DISTINCT commit_number FROM ledger.events WHERE stream_id = %s",
            [from_text(EXECUTION, made["id"])],
        ).fetchall()
    assert len(commits) == 1
    assert (made["status"], api.one(made["id"])["status"]) == ("pending", "running")


BAD: list[tuple[dict[str, Any], str]] = [
    *(({"labels": [label]}, "labels") for label in ("", "a b", "ä", "x" * 129, "a,b", "a\0")),
    ({"labels": [f"l{number}" for number in range(21)]}, "labels"),
    ({"labels": "gpu"}, "labels"),
    ({"labels": ["gpu"], "claim": {"agent_id": "a"}}, "labels"),
    *(
        ({"start_deadline_seconds": value}, "start_deadline_seconds")
        for value in (0, -1, 2_592_001, "5", 1.5)
    ),
    ({"stop_when_cut_off": "yes"}, "stop_when_cut_off"),
]


@pytest.mark.parametrize(("fields", "field"), BAD)
def test_what_is_wrong_is_refused_by_name(api: Api, fields: dict[str, Any], field: str) -> None:
    """400 that names the field."""
    check_problem(api.post("", {"job_name": "n", "command": "c"} | fields), 400, field=field)


def test_labels_of_a_claim_are_names(api: Api) -> None:
    """400 that names the field; so for a version that is none."""
    for fields in ({"labels": ["a b"]}, {"version": "a\nb"}, {"concurrency": 0}):
        body = {"agent_id": fresh("agent"), **fields}
        check_problem(api.post("/claim", body), 400, field=next(iter(fields)))


def test_a_secret_is_no_label(api: Api) -> None:
    """Labels are shown, so that a secret's value may not be one."""
    body = {"job_name": "n", "command": "c", "environment": {"A": "s3cret-value"}}
    answer = api.post("", body | {"secrets": ["A"], "labels": ["s3cret-value"]})
    check_problem(answer, 400, field="secrets")


def test_what_no_agent_took_in_time_has_failed(api: Api) -> None:
    """Past its start deadline it ends as not started, by the server's hand; a retry is allowed."""
    made = api.create(start_deadline_seconds=1)
    assert made["start_deadline_seconds"] == 1
    shown = api.until_ended(made["id"])
    assert (shown["status"], shown["failure_reason"]) == ("failed", "not_started")
    assert shown["error"] == "not started: no agent took it within 1 s"
    assert (shown["started_at"], shown["exit_code"], shown["duration_ms"]) == (None, None, 0)
    assert shown["completed_at"] is not None
    assert api.types(made["id"]) == ["created", "not_started"]
    assert api.events(made["id"])[-1]["actor"] == "server:sweep"
    again = api.post(f"/{made['id']}/retry").ok(201).json()
    assert (again["start_deadline_seconds"], again["attempt"]) == (1, 2)
    assert api.until_ended(again["id"])["failure_reason"] == "not_started"


def test_one_that_was_taken_in_time_is_not_given_up(api: Api, server: ServerProcess) -> None:
    """Once it runs, its start deadline is over."""
    agent = fresh("agent")
    made = api.create(pinned_agent_id=agent, start_deadline_seconds=3600)["id"]
    assert claimed(api, agent) == made
    with psycopg.connect(owner_conninfo(server)) as owner:
        found = owner.execute(
            "SELECT start_by FROM store.pending WHERE pinned_agent_id = %s", [agent]
        )
        assert found.fetchall() == []
    assert api.one(made)["status"] == "running"


def test_whether_to_stop_when_cut_off_is_told_to_the_agent(api: Api) -> None:
    """It is part of the configuration: shown, given with the claim, and with the lease's length."""
    agent = fresh("agent")
    made = api.create(pinned_agent_id=agent, stop_when_cut_off=True)["id"]
    assert api.one(made)["stop_when_cut_off"] is True
    told = api.post("/claim", {"agent_id": agent}).ok().json()
    assert told["execution"]["stop_when_cut_off"] is True
    assert told["lease"]["seconds"] == 3600
    assert api.one(api.create()["id"])["stop_when_cut_off"] is False


def test_an_id_names_its_labels_and_deadline(api: Api) -> None:
    """The same id with other ones is another request."""
    gpu = fresh("gpu")
    body = {"job_name": "n", "command": "c", "id": execution_id(), "labels": [gpu]}
    others: list[dict[str, Any]] = [{"labels": []}, {"start_deadline_seconds": 60}]
    api.post("", body).ok(201)
    api.post("", body | {"labels": [gpu, gpu]}).ok(201)
    for other in others:
        check_problem(api.post("", body | other), 409)
