"""The commands on the whole ledger, as a user runs them: followed, exported, imported."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support import invariants
from tests.support.agents import cronledger_here
from tests.support.calls import Api, eventually, fresh
from tests.support.embedded import REPOSITORY
from tests.support.server import ServerProcess, running_server
from tests.support.tokens import owner_conninfo


def _cronledger(server: ServerProcess, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env=server.environment(),
        timeout=60,
    )


def _shown(api: Api) -> dict[str, Any]:
    """What the API says of everything that has ended or waits."""
    listed = api.all_pages()
    ids = [one["id"] for one in listed]
    return {
        "list": listed,
        "get": [api.one(one) for one in ids],
        "logs": [api.logs(one, stream) for one in ids for stream in ("stdout", "stderr")],
        "events": [api.events(one) for one in ids],
    }


def _record_some(api: Api) -> None:
    held = api.start(job_id=fresh("job"), environment={"A": "b"}, secrets=["A"])
    held.append(b"out \xff\0\n" * 1000).ok()
    held.append(b"wrong\n", stream="stderr").ok()
    held.complete(outcome="exited", exit_code=3, error="so sad").ok()
    api.post(f"/{held.id}/retry").ok(201)
    api.brought_to("canceled")


def test_a_follower_goes_on_through_a_killed_server_and_the_ledger_moves_to_another_home(
    top: Path,
) -> None:
    """No event is missed or printed twice; and what is exported is served again as it was."""
    printed = top / "printed"
    with running_server() as server:
        # given
        _record_some(server.api)
        follow = [sys.executable, "-m", "cli.main", "events", "--follow", "--json", "--after", "0"]
        with printed.open("wb") as output:
            follower = subprocess.Popen(
                follow, stdout=output, cwd=REPOSITORY, env=server.environment()
            )
        try:
            eventually(lambda: printed.read_bytes().count(b"\n") == 7, "the first events")
            # when
            server.kill()
            server.start(port=urlsplit(server.url).port or 0)
            _record_some(server.api)
            # then
            eventually(lambda: printed.read_bytes().count(b"\n") >= 14, "all events", 30)
        finally:
            follower.kill()
            follower.wait()
        lines = [json.loads(line) for line in printed.read_bytes().splitlines()]
        assert [line["position"] for line in lines] == list(range(1, 15))
        _moves_to_another_home(server, top)


def _moves_to_another_home(server: ServerProcess, top: Path) -> None:
    # given
    file, again, key = top / "ledger.zst", top / "again.zst", "secret-key"
    expected = _shown(server.api)
    exported = cronledger_here(server, "export", str(file))
    assert (exported.returncode, exported.stdout) == (0, b""), exported.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    plain = subprocess.run(
        [sys.executable, "-m", "cli.main", "export", "-"],
        capture_output=True,
        check=True,
        cwd=REPOSITORY,
        env=server.environment(),
    ).stdout
    assert plain.count(b'{"kind":"event"') == 14
    refused = cronledger_here(server, "import", str(file))
    assert (refused.returncode, b"Stop it" in refused.stderr) == (1, True)
    # when
    other = ServerProcess(top / "other")
    other.home.mkdir(mode=0o700)
    wrong = cronledger_here(other, "import", str(file))
    assert (wrong.returncode, b"secret-key" in wrong.stderr) == (1, True)
    assert list(other.home.iterdir()) == []
    shutil.copy(server.home / key, other.home / key)
    done = _cronledger(other, "import", str(file))
    # then
    assert done.returncode == 0, done.stderr
    assert "14 events" in done.stdout
    try:
        other.start()
        assert _shown(other.api) == expected
        assert cronledger_here(other, "export", str(again)).returncode == 0
        assert again.read_bytes() == file.read_bytes()
        _record_some(other.api)
        invariants.check(owner_conninfo(other))
    finally:
        other.close()
