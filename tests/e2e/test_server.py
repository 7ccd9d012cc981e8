"""The real server as a process: it starts, gives up, stops, restarts, and outlives its database."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from store.embedded import EmbeddedServer
from tests.e2e.conftest import QUICK
from tests.support import invariants
from tests.support.agents import until_gone
from tests.support.calls import Reply, eventually, fresh, waiting_claims
from tests.support.embedded import REPOSITORY
from tests.support.problems import check_problem
from tests.support.server import ServerProcess, running_server
from tests.support.tokens import make_token, owner_conninfo


@pytest.fixture
def own() -> Iterator[ServerProcess]:
    """A server for one test, which it may stop and start; every invariant holds in the end."""
    with running_server(settings=QUICK) as started:
        yield started
        invariants.check(owner_conninfo(started))
        assert "Traceback" not in started.stderr


def postmaster(server: ServerProcess) -> int:
    """The process id of the server's embedded PostgreSQL."""
    folder = next(server.home.glob("postgres-*/postmaster.pid"), None)
    folder = folder or next(server.home.glob("postgres-*/*/postmaster.pid"))
    return int(folder.read_text().split()[0])


# ----------------------------------------------------------------------------------- start and stop


def test_a_first_start_makes_an_admin_token_and_says_where() -> None:
    """One line `ready URL`; the token in HOME/admin-token for its owner alone, not in any log."""
    with running_server(from_nothing=True) as own:
        token = own.home / "admin-token"
        assert own.url.startswith("http://127.0.0.1:")
        assert (token.stat().st_mode & 0o777, token.stat().st_uid) == (0o600, os.geteuid())
        assert str(token) in own.stderr
        assert own.admin_token.startswith("clk_")
        assert own.admin_token not in own.stderr
        said = json.loads((own.home / "server.json").read_text())
        assert said == {"url": own.url, "pid": own.pid}
        for name in ("secret-key", "agent-token", "server-password", "postgres-password"):
            assert (own.home / name).stat().st_mode & 0o077 == 0
        assert own.api.brought_to("success")["status"] == "success"
        invariants.check(owner_conninfo(own))


def test_a_restart_on_the_same_home_keeps_everything(own: ServerProcess) -> None:
    """Executions, output, leases, tokens and idempotency keys are there again."""
    # given
    api = own.api
    for status in ("pending", "running", "failed", "canceled"):
        api.brought_to(status)
    held = api.start()
    held.append(b"before\n").ok()
    body, key = {"job_name": "n", "command": "c"}, {"Idempotency-Key": fresh("key")}
    made = api.post("", body, headers=key).ok(201)
    before = [(one["id"], one["status"]) for one in api.all_pages()]
    trails = [api.events(one) for one, _ in before]
    # when
    assert own.stop() == 0
    own.start()
    # then
    again = own.api
    assert again.token == api.token
    assert [(one["id"], one["status"]) for one in again.all_pages()] == before
    assert [again.events(one) for one, _ in before] == trails
    assert again.post("", body, headers=key).ok(201).body == made.body
    held.api = again
    held.append(b"after\n", 7).ok()
    held.complete(outcome="exited", exit_code=0).ok()
    assert again.logs(held.id) == b"before\nafter\n"


def test_sigterm_ends_long_polls_at_once_and_everything_else_soon(own: ServerProcess) -> None:
    """Waiting claims and heartbeats are answered; within 10 s server and PostgreSQL are gone."""
    # given
    api, held, database = own.api, own.api.start(), postmaster(own)
    with ThreadPoolExecutor(8) as threads:
        polls = [threads.submit(api.claim, fresh("idle"), wait_seconds=30) for _ in range(4)]
        beats = [threads.submit(held.heartbeat, 30) for _ in range(2)]
        eventually(lambda: waiting_claims(api) == 4, "four waiting claims")
        # when
        began = time.monotonic()
        assert own.stop() == 0
        # then
        assert time.monotonic() - began < 10
        assert [poll.result() for poll in polls] == [None] * 4
        assert [beat.result().status for beat in beats] == [200, 200]
    until_gone(database)
    assert not (own.home / "server.json").exists()
    own.start()


def test_a_home_has_one_server(own: ServerProcess) -> None:
    """A second one is told who holds the home, and ends with 1; the first goes on."""
    second = own.start_another()
    assert (second.returncode, second.stdout) == (1, "")
    assert str(own.pid) in second.stderr
    assert "Traceback" not in second.stderr
    own.api.get().ok()


@pytest.mark.parametrize(
    ("options", "settings", "words"),
    [
        (["--host", "0.0.0.0"], {}, ("--tls-certificate", "--behind-tls-proxy")),
        ([], {"CRONLEDGER_LEASE_SECONDS": "soon"}, ("CRONLEDGER_LEASE_SECONDS", "soon")),
        ([], {"CRONLEDGER_LEASE_SECONDS": "1"}, ("lease_seconds",)),
        ([], {"CRONLEDGER_DATABASE_URL": "postgresql://127.0.0.1:1/x"}, ("database",)),
    ],
)
def test_a_server_that_is_set_up_wrongly_says_so(
    top: Path, options: list[str], settings: dict[str, str], words: tuple[str, ...]
) -> None:
    """Exit code 1 and a sentence that names the setting, never a stack trace."""
    kept = {name: value for name, value in os.environ.items() if "CRONLEDGER" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "serve", "--home", str(top / "h"), *options],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=kept | settings,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


# ------------------------------------------------------------------------------------- the database


def test_postgres_killed_under_load_comes_back_with_all_that_was_acknowledged(
    own: ServerProcess,
) -> None:
    """503 with Retry-After meanwhile, then it goes on by itself; no create is lost or doubled."""
    # given
    api, acknowledged, refused, over = own.api, set[str](), list[Reply](), threading.Event()
    job = fresh("job")

    def load() -> None:
        while not over.is_set():
            answer = api.post(
                "", {"job_name": "n", "job_id": job, "command": "c", "pinned_agent_id": "nobody"}
            )
            if answer.status == 201:
                acknowledged.add(answer.json()["id"])
            else:
                refused.append(answer)

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(load) for _ in range(4)]
        try:
            eventually(lambda: len(acknowledged) > 50, "a load of creates")
            # when
            os.kill(postmaster(own), signal.SIGKILL)
            eventually(lambda: "started again" in own.stderr, "another PostgreSQL")
            before = len(acknowledged)
            eventually(lambda: len(acknowledged) > before + 50, "creates after the recovery")
        finally:
            over.set()
        for one in running:
            one.result()
    # then
    for answer in refused:
        check_problem_503(answer)
    listed = {one["id"] for one in api.all_pages({"job_id": job})}
    assert acknowledged <= listed


def check_problem_503(answer: Reply) -> None:
    """A refusal that will pass says so, and when to come back."""
    assert answer.status == 503, answer.body
    assert answer.headers["Retry-After"].isdecimal()
    assert (answer.code, answer.json()["status"]) == ("unavailable", 503)


def test_the_embedded_database_is_not_reachable_over_the_network(quick: ServerProcess) -> None:
    """Its server listens on a socket in the home only, and dies with the server."""
    with psycopg.connect(EmbeddedServer(quick.home).conninfo()) as connection:
        found = connection.execute("SHOW listen_addresses").fetchone()
    assert found == ("",)
    assert make_token(quick, "read")[1].startswith("clk_")


def test_a_server_whose_log_is_another_is_not_ready(own: ServerProcess) -> None:
    """Nothing is recorded, and who asks is told, until the log is what it was."""
    own.api.brought_to("failed")
    with psycopg.connect(owner_conninfo(own), autocommit=True) as owner:
        owner.execute("ALTER TABLE ledger.events DISABLE TRIGGER events_are_immutable")
        change = (
            "UPDATE ledger.events SET leaf_hash = %s"
            " WHERE position = (SELECT max(position) FROM ledger.events)"
        )
        row = owner.execute("SELECT leaf_hash FROM ledger.events ORDER BY position DESC LIMIT 1")
        ((leaf_hash,),) = row.fetchall()
        owner.execute(change, [bytes(32)])

        refused = own.api.post("", {"job_name": "n", "command": "true"})
        asked = own.api.request("GET", "/health/ready")

        check_problem(refused, 503)
        assert "the server's log says what is wrong" in refused.json()["detail"]
        assert asked.status == 503
        assert "nothing can be recorded" in asked.json()["detail"]
        owner.execute(change, [leaf_hash])
        owner.execute("ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER events_are_immutable")
    eventually(
        lambda: own.api.request("GET", "/health/ready").status == 200, "the server to be ready"
    )
    assert own.api.post("", {"job_name": "n", "command": "true"}).status == 201
