"""What a create refuses beyond its schema, and what it keeps to itself."""

import hashlib
from typing import Any

import msgspec
import psycopg
import pytest

from api import wire
from tests.support.calls import PATH, Api, fresh
from tests.support.problems import check_problem
from tests.support.server import ServerProcess
from tests.support.tokens import owner_conninfo

SECRET = "s3cret-value"


@pytest.mark.parametrize(
    "shown",
    [
        {"job_name": f"n {SECRET}"},
        {"job_id": SECRET},
        {"command": f"curl -u {SECRET} host"},
        {"command": ["curl", SECRET]},
        {"working_dir": f"/srv/{SECRET}"},
        {"environment": {"TOKEN": SECRET, "URL": f"https://{SECRET}@host"}},
        {"pinned_agent_id": SECRET},
    ],
    ids=lambda shown: next(iter(shown)),
)
def test_a_secret_in_the_open_is_refused(api: Api, shown: dict[str, Any]) -> None:
    """The value of a secret may stand nowhere else in the request: everything else is shown."""
    body = {"job_name": "n", "command": "c", "environment": {"TOKEN": SECRET}} | shown
    check_problem(api.post("", body | {"secrets": ["TOKEN"]}), 400, field="secrets")


def test_a_configuration_has_a_size(api: Api) -> None:
    """Command and environment together may have 256 KiB; more is a 400, not a slow queue."""
    environment = {f"V{number}": "x" * 99_000 for number in range(3)}
    body = {"job_name": "n", "command": "c", "environment": environment}
    check_problem(api.post("", body), 400, field="body")


def test_the_longest_timeout_is_one_that_can_be_kept(api: Api) -> None:
    """A timeout that no column holds is a 400, whoever runs the command."""
    body = {"job_name": "n", "command": "c", "claim": {"agent_id": fresh("agent")}}
    check_problem(api.post("", body | {"timeout_seconds": 1 << 31}), 400, field="timeout_seconds")


def test_what_remembers_a_request_does_not_tell_it(api: Api, server: ServerProcess) -> None:
    """The database alone does not confirm a guess of a request that holds a secret."""
    # given
    body = {"job_name": "n", "command": "c", "environment": {"PIN": "4711"}, "secrets": ["PIN"]}
    key = fresh("key")
    api.post("", body, headers={"Idempotency-Key": key}).ok(201)
    with psycopg.connect(owner_conninfo(server)) as connection:
        row = connection.execute(
            "SELECT fingerprint FROM store.idempotency WHERE key LIKE %s", [f"%{key}"]
        ).fetchone()
    # then
    assert row is not None
    decoded = msgspec.convert(body, wire.CreateExecution)
    said = f"POST {PATH}\n".encode() + msgspec.json.encode(decoded, order="deterministic")
    assert hashlib.sha256(said).digest() != row[0]


def test_the_audit_trail_names_executions_by_their_ids(api: Api) -> None:
    """Where an event points to an execution, it says the id that the API takes."""
    # given
    old = api.brought_to("failed")["id"]
    # when
    new = api.post(f"/{old}/retry").ok(201).json()["id"]
    # then
    retried = api.events(old)[-1]
    created = api.events(new)[0]
    assert new == retried["data"]["retried_as"]
    assert [old, old] == [created["data"]["retry_of"], created["data"]["root_id"]]
    assert old == created["correlation_id"]


def test_metrics_are_plain_numbers(api: Api) -> None:
    """A figure is written out, however large: rates of a rounded counter would be wrong."""
    text = api.request("GET", "/metrics").ok().body.decode()
    figures = [line.rpartition(" ")[2] for line in text.splitlines() if not line.startswith("#")]
    assert figures
    assert all(figure.replace(".", "", 1).isdigit() for figure in figures), figures
