"""`cronledger audit` and `cronledger events`, against a small server with prepared answers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cli.main import main
from tests.support.fake_server import TOKEN, FakeServer, Reply, serving

NOTHING: dict[str, Any] = {
    "status": "pending",
    "version": 1,
    "attempt": 1,
    "labels": [],
    "agent_id": None,
    "exit_code": None,
}


def _event(
    position: int,
    kind: str,
    state: dict[str, Any] | None,
    data: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    return {
        "position": position,
        "version": position - 10,
        "type": f"execution.{kind}",
        "recorded_at": f"2026-01-31T12:00:{position}.500Z",
        "actor": "operator:tok_1",
        "request_id": f"req_{position}",
        "correlation_id": "exec_1",
        "data": data or {},
        "unreadable": None,
        "state": None if state is None else NOTHING | state,
        **more,
    }


FIRST = [
    _event(11, "created", {}, {"job_id": "ba\x1bckup"}),
    _event(12, "started", {"status": "running", "agent_id": "web1"}, {"agent_id": "web1"}),
    _event(13, "completed", {"status": "failed", "agent_id": "web1", "exit_code": 3}),
    _event(15, "retried", {"status": "failed"}, {"retried_as": "exec_2"}),
]
SECOND = [
    _event(14, "created", {"attempt": 2}),
    _event(16, "retried", {"attempt": 2}, {"retried_as": "exec_3"}),
]
THIRD = [
    _event(17, "created", {"attempt": 3}),
    _event(18, "paused", {"attempt": 3}, {"why": "x"}, unreadable="unknown type"),
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with serving() as fake:
        monkeypatch.setenv("CRONLEDGER_URL", fake.url)
        monkeypatch.setenv("CRONLEDGER_TOKEN", TOKEN)
        yield fake


def _answers(*trails: list[dict[str, Any]]) -> list[Reply]:
    return [(200, {"data": trail}) for trail in trails]


def test_each_step_is_shown_with_the_state_after_it(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Position, version, time, who, which request and what; and what the event changed."""
    server.replies["events"] = _answers(FIRST)
    assert main(["audit", "exec_1"]) == 0
    head, created, started, completed, retried = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["POSITION", "VERSION"]
    assert "\x1b" not in created
    assert started.split() == [
        *("12", "2", "2026-01-31", "12:00:12", "started", "running", "agent_id=web1"),
        *("operator:tok_1", "req_12", '{"agent_id":"web1"}'),
    ]
    assert completed.split()[4:7] == ["completed", "failed", "exit_code=3"]
    assert "retried_as" in retried


@pytest.mark.parametrize("job_id", ["job_1", "nightly"])
def test_a_job_has_an_audit_trail_too(
    server: FakeServer, capsys: pytest.CaptureFixture[str], job_id: str
) -> None:
    """What is no id of an execution is one of a job; its plan is shown member by member."""
    plan = {"cron": "0 5 * * *", "retry": {"max_retries": 2}}
    server.replies["events"] = _answers(
        [
            _event(11, "created", {"status": "enabled", "plan": plan}, type="job.created"),
            _event(12, "paused", {"status": "paused", "plan": plan}, type="job.paused"),
        ]
    )
    assert main(["audit", job_id]) == 0
    assert server.requests[-1].path == f"/v1/cron-jobs/{job_id}/events"
    _, created, paused = capsys.readouterr().out.splitlines()
    assert "plan.cron=0 5 * * * plan.retry.max_retries=2" in created
    assert paused.split()[4:7] == ["paused", "paused", "-"]


def test_a_job_has_no_lineage(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Its runs have, each its own: a wrong use, told before anything is asked."""
    assert main(["audit", "job_1", "--lineage"]) == 2
    assert "a job has none" in capsys.readouterr().err
    assert not server.requests


@pytest.mark.parametrize(
    ("moment", "last"),
    [
        ("12", "started"),
        ("14", "completed"),
        ("2026-01-31T12:00:12.500Z", "started"),
        ("2026-01-31T13:00:12.499+01:00", "created"),
        ("2026-02-01", "retried"),
    ],
)
def test_the_state_of_then_is_shown(
    server: FakeServer, capsys: pytest.CaptureFixture[str], moment: str, last: str
) -> None:
    """After a position, or at a time: steps up to then, and the whole state."""
    server.replies |= {"events": _answers(FIRST), "get": [_page([], 1)]}
    assert main(["audit", "exec_1", "--at", moment]) == 0
    steps, _, state = capsys.readouterr().out.partition("\nthe state then:\n")
    assert steps.rstrip().splitlines()[-1].split()[4] == last
    assert "status" in state
    assert "exit_code" not in state or last in {"completed", "retried"}


def test_before_the_beginning_there_is_nothing(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said in a sentence, or as an empty list."""
    server.replies |= {"events": _answers(FIRST, FIRST), "get": [_page([], 1), _page([], 1)]}
    assert main(["audit", "exec_1", "--at", "3"]) == 0
    assert capsys.readouterr().out == "nothing had been recorded by then\n"
    assert main(["audit", "exec_1", "--at", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"data": []}


@pytest.mark.parametrize(
    ("moment", "says"),
    [
        ("21", "is beyond the last position, which is 20"),
        ("9" * 30, "is beyond the last position, which is 20"),
        ("2999-01-01", "lies in the future"),
    ],
)
def test_a_moment_that_has_not_come_is_refused(
    server: FakeServer, capsys: pytest.CaptureFixture[str], moment: str, says: str
) -> None:
    """No state is shown as that of a position or a time at which it may be another."""
    server.replies |= {"events": _answers(FIRST), "get": [_page([], 1, head=20)]}
    assert main(["audit", "exec_1", "--at", moment]) == 1
    said = capsys.readouterr()
    assert (said.out, says in said.err) == ("", True)


def test_the_last_position_has_come(server: FakeServer) -> None:
    """Nothing is recorded at it any more."""
    server.replies |= {"events": _answers(FIRST), "get": [_page([], 1, head=20)]}
    assert main(["audit", "exec_1", "--at", "20"]) == 0


def test_a_moment_that_is_none_is_a_usage_error(server: FakeServer) -> None:
    """Exit code 2, and nothing is asked."""
    assert main(["audit", "exec_1", "--at", "yesterday"]) == 2
    assert server.requests == []


def test_the_lineage_is_walked_from_its_root_in_both_directions(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asked in the middle: the root first, each attempt with its events, an odd one marked."""
    server.replies["events"] = _answers(SECOND, FIRST, THIRD)
    assert main(["audit", "exec_2", "--lineage"]) == 0
    out = capsys.readouterr().out
    titles = [line for line in out.splitlines() if line.startswith("exec_")]
    assert titles == [
        "exec_1  attempt 1, failed",
        "exec_2  attempt 2, pending",
        "exec_3  attempt 3, pending",
    ]
    assert '(unreadable: unknown type) {"why":"x"}' in out


def test_the_lineage_for_programs(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Each attempt by its id, with the events up to the moment that is asked for."""
    server.replies |= {"events": _answers(SECOND, FIRST, THIRD), "get": [_page([], 1)]}
    assert main(["audit", "exec_2", "--lineage", "--json", "--at", "14"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data == [{"id": "exec_1", "data": FIRST[:3]}, {"id": "exec_2", "data": SECOND[:1]}]


def _page(events: list[dict[str, Any]], upto: int, head: int = 20) -> Reply:
    pagination = {"after": 0, "limit": 1, "next_after": upto, "has_more": upto < head, "head": head}
    return 200, {"data": events, "pagination": pagination}


def _queries(server: FakeServer) -> list[dict[str, str]]:
    return [request.query for request in server.requests]


def test_without_an_id_the_last_events_of_the_ledger_are_shown(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many positions as asked for; the last line says which."""
    event = _event(18, "created", None, execution_id="exec_9")
    server.replies["get"] = [_page([], 1), _page([event], 20)]
    assert main(["events", "--limit", "3"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].split()[:5] == ["18", "2026-01-31", "12:00:18", "execution.created", "exec_9"]
    assert out[-1] == "1 events, looked at positions 18 to 20 of 20"
    assert _queries(server)[1] == {"after": "17", "limit": "3"}
    assert server.requests[0].path == "/v1/events"


def test_what_matches_is_looked_for_further_back(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """With filters ever longer stretches are looked through, until there is enough."""
    old, new = _event(85, "created", None), _event(99, "created", None)
    server.replies["get"] = [_page([], 1, 100), _page([new], 100, 100), _page([old], 98, 100)]
    assert main(["events", "--limit", "2", "--type", "created"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out[1:3]] == ["85", "99"]
    assert out[-1] == "2 events, looked at positions 83 to 100 of 100"
    assert [query["after"] for query in _queries(server)[1:]] == ["98", "82"]


def test_short_pages_are_put_together(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """With filters the server looks at a part of the log at a time: we go on until it is enough."""
    one, two = _event(11, "created", None), _event(19, "created", None)
    server.replies["get"] = [_page([one], 12), _page([], 15), _page([two], 19)]
    words = [
        "--after",
        "5",
        "--limit",
        "2",
        "--type",
        "created",
        "--type",
        "job.made",
        "--job",
        "j",
    ]
    assert main(["events", *words, "--json"]) == 0
    page = json.loads(capsys.readouterr().out)
    assert [event["position"] for event in page["data"]] == [11, 19]
    assert page["pagination"]["next_after"] == 19
    assert [(query["after"], query["limit"]) for query in _queries(server)] == [
        ("5", "2"),
        ("12", "1"),
        ("15", "1"),
    ]
    assert _queries(server)[0]["job_id"] == "j"


@pytest.mark.parametrize(
    "words", [["exec_1", "--follow"], ["exec_1", "--after", "3"], ["--follow", "--limit", "3"]]
)
def test_what_does_not_go_together_is_a_usage_error(server: FakeServer, words: list[str]) -> None:
    """Exit code 2, and nothing is asked."""
    assert main(["events", *words]) == 2
    assert server.requests == []
