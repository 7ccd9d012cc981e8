"""Rules of the client commands, against a real (small) server with prepared answers."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from tests.support.fake_server import TOKEN, FakeServer, Reply, problem, serving

ROOT = Path(__file__).parents[3]
EXECUTION: dict[str, Any] = {
    "id": "exec_1",
    "job_id": "job_1",
    "job_name": "nightly",
    "status": "failed",
    "exit_code": 3,
    "duration_ms": 1234,
    "triggered_by": "manual",
    "output": "out\x1b[2J\n",
    "error": "bad\n",
    "stderr": "bad\n",
    "command": ["echo", "a b"],
    "started_at": "2026-01-31T12:00:00.000Z",
    "completed_at": "2026-01-31T12:00:01.234Z",
    "created_at": "2026-01-31T11:59:59.000Z",
    "attempt": 1,
    "agent_id": "here",
    "failure_reason": "exit_code",
}
PAGE = {
    "data": [EXECUTION],
    "pagination": {
        "limit": 50,
        "offset": 0,
        "total": 10000,
        "total_is_exact": False,
        "has_more": True,
        "next_cursor": "abc",
    },
}
EVENT = {
    "position": 7,
    "version": 1,
    "type": "execution.created",
    "recorded_at": "2026-01-31T12:00:00.000Z",
    "actor": {"kind": "token", "id": "t1"},
    "request_id": "r",
    "data": {"job_name": "nightly"},
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with serving() as fake:
        monkeypatch.setenv("CRONLEDGER_URL", fake.url)
        monkeypatch.setenv("CRONLEDGER_TOKEN", TOKEN)
        yield fake


def test_list_shows_a_table_and_the_next_page(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for each execution, the total, and how to go on."""
    server.replies["list"] = [(200, PAGE)]
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "exec_1  nightly  failed  3     2026-01-31 11:59:59  1.2 s" in shown
    assert "1 of at least 10000; the next page: --cursor abc" in shown


@pytest.mark.parametrize(
    ("rows", "counted", "says"),
    [
        (0, (0, True), "no executions match; the next"),
        (0, (0, False), "no executions match on this page; the next"),
        (0, (5, True), "no executions match on this page; the next"),
        (2, (5, True), "2 of 5; the next"),
        (2, (5, False), "2 of at least 5; the next"),
        (2, (0, False), "2 of at least 2; the next"),
    ],
)
def test_list_says_no_more_than_is_known(
    server: FakeServer,
    capsys: pytest.CaptureFixture[str],
    rows: int,
    counted: tuple[int, bool],
    says: str,
) -> None:
    """An empty page is not an empty list, and a page may show more than was counted."""
    total, is_exact = counted
    place = {"limit": 50, "offset": 0, "has_more": True, "next_cursor": "abc"}
    told = {**place, "total": total, "total_is_exact": is_exact}
    server.replies["list"] = [(200, {"data": [EXECUTION] * rows, "pagination": told})]
    assert main(["list", "--as-of", "7"]) == 0
    assert says in capsys.readouterr().out


def test_list_says_what_holds_an_execution(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two pending executions the held one shows what it waits for."""
    waiting = EXECUTION | {"status": "pending", "exit_code": None, "started_at": None}
    data = [waiting | {"held": "max_concurrent"}, waiting | {"held": None}]
    server.replies["list"] = [(200, PAGE | {"data": data})]
    assert main(["list"]) == 0
    _, held, other, *_ = capsys.readouterr().out.splitlines()
    assert "pending (max_concurrent)" in held
    assert "(" not in other


def test_list_passes_every_filter_on(server: FakeServer) -> None:
    """Filters arrive as the contract's query parameters."""
    server.replies["list"] = [(200, PAGE)]
    options = "--job-id j --status failed --triggered-by retry --from 2026-01-01 --to 2026-02-01"
    assert main(["list", *options.split(), "--limit", "5", "--offset", "0", "--json"]) == 0
    assert server.seen("list")[0].query == {
        "job_id": "j",
        "status": "failed",
        "triggered_by": "retry",
        "from": "2026-01-01",
        "to": "2026-02-01",
        "limit": "5",
        "offset": "0",
    }


@pytest.mark.parametrize(
    ("command", "kind", "answer"),
    [
        (["list"], "list", PAGE),
        (["get", "exec_1"], "get", EXECUTION),
        (["retry", "exec_1"], "retry", EXECUTION),
        (["cancel", "exec_1"], "cancel", EXECUTION),
        (["events", "exec_1"], "events", {"data": [EVENT]}),
    ],
)
def test_json_is_the_servers_own(
    server: FakeServer,
    capfdbinary: pytest.CaptureFixture[bytes],
    command: list[str],
    kind: str,
    answer: dict[str, Any],
) -> None:
    """`--json` prints what the server answered."""
    server.replies[kind] = [(200, answer)]
    assert main([*command, "--json"]) == 0
    assert json.loads(capfdbinary.readouterr().out) == answer


def test_get_shows_facts_and_output_safely(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything a person asks first, and output that cannot act on the terminal."""
    late = {"outcome": "exited", "exit_code": 7, "reported_at": "2026-01-31T12:00:00.000Z"}
    server.replies["get"] = [(200, EXECUTION | {"late_outcome": late})]
    assert main(["get", "exec_1"]) == 0
    shown = capsys.readouterr().out
    assert "late outcome  exited, exit code 7, told 2026-01-31 12:00:00 UTC\n" in shown
    assert "status        failed, exit code 3\n" in shown
    assert "command       echo 'a b'\n" in shown
    assert "--- output\nout␛[2J\n\n--- error\nbad\n" in shown


def test_events_are_a_table(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Each event is one line with its data."""
    server.replies["events"] = [(200, {"data": [EVENT]})]
    assert main(["events", "exec_1"]) == 0
    assert "7         1        execution.created  2026-01-31 12:00:00" in capsys.readouterr().out


def test_logs_are_written_byte_for_byte(
    server: FakeServer, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """NUL and invalid UTF-8 arrive unchanged."""
    server.replies["logs"] = [(200, b"a\0\xff\r\n")]
    assert main(["logs", "exec_1", "--stream", "stderr", "--tail", "5"]) == 0
    assert capfdbinary.readouterr().out == b"a\0\xff\r\n"
    assert server.seen("logs")[0].query == {"stream": "stderr", "tail": "5"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [([], b"a\xe2\x90\x80\xef\xbf\xbd\x1b[31m\r\n\x1b[0m"), (["--raw"], b"a\0\xff\x1b[31m\r\n")],
)
def test_logs_on_a_terminal_cannot_act_on_it(
    server: FakeServer, options: list[str], expected: bytes
) -> None:
    """Safe text with its colours, unless raw bytes are asked for."""
    server.replies["logs"] = [(200, b"a\0\xff\x1b[31m\n")]
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "cli.main", "logs", "exec_1", *options]
    subprocess.run(
        command, cwd=ROOT, stdout=theirs, check=True, env={**os.environ, "LANG": "C.UTF-8"}
    )
    assert os.read(ours, 1000) == expected
    os.close(theirs)
    os.close(ours)


def test_retry_is_repeatable(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    """A retry carries an idempotency key and shows the new id."""
    server.replies["retry"] = [(201, {**EXECUTION, "id": "exec_2", "status": "pending"})]
    assert main(["retry", "exec_1"]) == 0
    assert capsys.readouterr().out == "exec_2  pending, retry of exec_1\n"
    assert server.seen("retry")[0].headers["idempotency-key"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("canceled", "exec_1  canceled\n"),
        ("running", "exec_1  cancel requested: its agent ends the command\n"),
    ],
)
def test_cancel_says_what_has_come_of_it(
    server: FakeServer, capsys: pytest.CaptureFixture[str], status: str, expected: str
) -> None:
    """At once for a pending execution, on its way for a running one."""
    server.replies["cancel"] = [(200, {**EXECUTION, "status": status})]
    assert main(["cancel", "exec_1"]) == 0
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (problem(404, "resource_not_found", "there is no such thing"), 1),
        (problem(409, "conflict", "there is no such thing"), 1),
        (problem(401, "invalid_token", "there is no such thing"), 4),
        (problem(403, "forbidden", "there is no such thing"), 4),
    ],
)
def test_a_refusal_is_a_sentence_and_a_code(
    server: FakeServer, capsys: pytest.CaptureFixture[str], reply: Reply, code: int
) -> None:
    """1 for refused, 4 for not authorised, the server's words on standard error."""
    server.replies["get"] = [reply]
    assert main(["get", "exec_1"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "there is no such thing" in captured.err


def test_an_id_is_never_part_of_the_path(server: FakeServer) -> None:
    """What a user types as an id cannot reach another address."""
    server.replies["get"] = [problem(404, "resource_not_found", "no")]
    assert main(["get", "../x?y=1/é"]) == 1
    assert server.requests[0].path.endswith("/..%2Fx%3Fy%3D1%2F%C3%A9")


def test_an_unreachable_server_is_exit_code_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence names the address and what to do."""
    monkeypatch.setenv("CRONLEDGER_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("CRONLEDGER_TOKEN", TOKEN)
    assert main(["list"]) == 3
    assert "http://127.0.0.1:1 cannot be reached" in capsys.readouterr().err


def test_no_token_is_exit_code_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The sentence says where a token is looked for."""
    monkeypatch.delenv("CRONLEDGER_TOKEN", raising=False)
    monkeypatch.setenv("CRONLEDGER_HOME", str(tmp_path))
    assert main(["list"]) == 4
    assert str(tmp_path / "admin-token") in capsys.readouterr().err


@pytest.mark.parametrize(("name", "value"), [("URL", "localhost"), ("TOKEN", "clk_\n_é")])
def test_a_wrong_setting_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """An address or a token that can be none is exit code 2."""
    monkeypatch.setenv("CRONLEDGER_TOKEN", TOKEN)
    monkeypatch.setenv(f"CRONLEDGER_{name}", value)
    assert main(["list"]) == 2


def test_a_closed_pipe_is_quiet(server: FakeServer) -> None:
    """`cronledger logs … | head` ends without a word."""
    server.replies["logs"] = [(200, b"x" * 1_000_000)]
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m cli.main logs exec_1 | head -c 10"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (b"x" * 10, b"")
