"""Rules of the record of one `exec`: when it must outlive a crash of the machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.client import Client
from agent.run_folder import ENDING, RUN, RUNNING, RunFolder
from cli import exec_record
from cli.exec_record import ExecRecord
from tests.support.calls import eventually
from tests.support.fake_server import TOKEN, FakeServer, serving

_NEVER_SECONDS = 1000.0
_STREAM = {"bytes": 0, "sha256": None}
_ENDING = {
    "outcome": "exited",
    "exit_code": 0,
    "duration_ms": 1,
    "ended_at": 1.0,
    "streams": {"stdout": _STREAM, "stderr": _STREAM},
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeServer]:
    monkeypatch.setenv("CRONLEDGER_HOME", str(tmp_path))
    with serving() as fake:
        yield fake


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The documents that were there at each sync of the folder."""
    found: list[set[str]] = []

    def sync(folder: RunFolder) -> None:
        found.append({path.name for path in folder.path.glob("*.json")})

    monkeypatch.setattr(RunFolder, "sync", sync)
    return found


@contextmanager
def begun(tmp_path: Path, url: str) -> Iterator[ExecRecord]:
    name = "exec_01m85s4qc3fr0a485vmd5apr3z"
    folder, (running,) = RunFolder.make(tmp_path / "runs", name, RUNNING)
    create = {"id": name, "job_name": "nightly", "command": ["true"], "claim": {"agent_id": "here"}}
    client = Client(url, TOKEN)
    record = ExecRecord(folder, create, lambda: client, on_cancel=lambda: None)
    record.begin()
    record.start()
    yield record
    client.close()
    os.close(running)


def test_what_the_server_has_at_once_waits_for_no_disk(
    server: FakeServer, synced: list[set[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is durable there, and nothing is left of it here."""
    monkeypatch.setattr(exec_record, "DURABLE_AFTER_SECONDS", _NEVER_SECONDS)
    monkeypatch.setattr(exec_record, "FINISH_SECONDS", 20.0)
    with begun(tmp_path, server.url) as record:
        assert record.finish(_ENDING)
    assert not Path(record.folder.place).exists()
    assert synced == []


def test_what_nobody_has_taken_is_durable_before_exec_ends(
    synced: list[set[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ran and how it ended."""
    monkeypatch.setattr(exec_record, "DURABLE_AFTER_SECONDS", _NEVER_SECONDS)
    with begun(tmp_path, "http://127.0.0.1:9") as record:
        assert not record.finish(_ENDING)
    assert synced == [{RUN, ENDING}]


def test_what_runs_for_a_while_is_durable_while_it_runs(
    synced: list[set[str]], tmp_path: Path
) -> None:
    """A crash of the machine then leaves something to tell of."""
    with begun(tmp_path, "http://127.0.0.1:9") as record:
        eventually(lambda: synced, "what runs is made durable")
        assert synced == [{RUN}]
        record.finish(_ENDING)
