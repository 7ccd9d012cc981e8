"""Rebuild and verify of a home in which no server runs."""

import json
import subprocess
import sys

import psycopg
import pytest

from tests.support import invariants
from tests.support.embedded import REPOSITORY
from tests.support.server import ServerProcess, running_server
from tests.support.tokens import owner_conninfo


def _run(server: ServerProcess, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *words, "--home", str(server.home)],
        cwd=REPOSITORY,
        env=server.environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_server_without_its_read_model_says_what_to_do() -> None:
    """It does not start but names the command; that one works by itself, and then it starts."""
    with running_server() as server:
        made = server.api.brought_to("failed")
        with psycopg.connect(owner_conninfo(server), autocommit=True) as owner:
            owner.execute("DELETE FROM read.projections WHERE name = 'executions'")
            owner.execute("DELETE FROM read.executions_1")
        server.stop()

        with pytest.raises(AssertionError, match="run `cronledger rebuild`"):
            server.start()
        unsound = _run(server, "verify", "--json")
        rebuilt = _run(server, "rebuild")
        sound = _run(server, "verify")
        server.start()

        assert unsound.returncode == 1, unsound.stderr
        assert {one["kind"] for one in json.loads(unsound.stdout)["findings"]} >= {"read model"}
        assert rebuilt.returncode == 0, rebuilt.stderr
        assert "rebuilt from 3 events: 1 streams" in rebuilt.stdout
        assert sound.returncode == 0, sound.stdout
        assert "the ledger is sound; 3 events checked" in sound.stdout
        assert server.api.one(made["id"])["status"] == "failed"
        invariants.check(owner_conninfo(server))
