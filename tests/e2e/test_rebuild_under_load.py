"""Rebuilds of a server's read models while it is used, and while they are killed."""

import contextlib
import itertools
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.conftest import QUICK
from tests.support import invariants
from tests.support.calls import Api
from tests.support.embedded import REPOSITORY
from tests.support.server import ServerProcess, running_server
from tests.support.tokens import owner_conninfo

# Ends as by kill -9 before statement number N that the rebuild's own connections execute.
_DYING = """
import os, sys
import psycopg
from projections.read_models import READ_MODELS
from projections.rebuild import rebuild
conninfo, last = sys.argv[1], int(sys.argv[2])
count = 0
def dying(execute):
    def until(self, *args, **kwargs):
        global count
        count += 1
        if count == last:
            os._exit(9)
        return execute(self, *args, **kwargs)
    return until
psycopg.Connection.execute = dying(psycopg.Connection.execute)
psycopg.RawCursor.execute = dying(psycopg.RawCursor.execute)
rebuild(conninfo, READ_MODELS, lambda *_: None)
"""


def _start(server: ServerProcess) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "cli.main", "rebuild", "--home", str(server.home), "--json"]
    return subprocess.Popen(
        words,
        cwd=REPOSITORY,
        env=server.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@contextlib.contextmanager
def _going_on(*steps: Callable[[], object]) -> Iterator[list[BaseException]]:
    """Do each step again and again, in a thread each; what goes wrong is in the list."""
    wrong: list[BaseException] = []
    over = threading.Event()

    def repeat(step: Callable[[], object]) -> None:
        while not over.is_set():
            try:
                step()
            except BaseException as error:  # noqa: BLE001 - the test's thread says it
                wrong.append(error)
                return

    threads = [threading.Thread(target=repeat, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _use(api: Api) -> tuple[Callable[[], object], ...]:
    numbers = itertools.count()
    known = [api.brought_to("success")["id"]]

    def write() -> None:
        status = ("success", "failed", "canceled", "pending")[next(numbers) % 4]
        made = api.brought_to(status)["id"]
        assert api.one(made)["status"] == status
        known.append(made)
        if status == "failed":
            api.post(f"/{made}/retry").ok(201)

    def listing() -> None:
        assert api.get("", {"limit": 20}).ok().json()["data"]
        api.get("", {"status": "failed", "triggered_by": "manual"}).ok()

    def get() -> None:
        newest = known[-1]
        assert api.one(newest)["id"] == newest
        assert api.one(known[0])["status"] == "success"

    return write, listing, get


def _under_load(quick: ServerProcess, chance: random.Random, seconds: float) -> int:
    """Rebuild for so long, often with a kill in between; return how many came through."""
    end, through = time.monotonic() + seconds, 0
    with _going_on(*_use(quick.api)) as wrong:
        while not wrong and (time.monotonic() < end or not through):
            rebuild = _start(quick)
            try:
                said, complained = rebuild.communicate(timeout=chance.choice([0.5, 0.8, 1.2, 30]))
            except subprocess.TimeoutExpired:
                rebuild.kill()
                rebuild.communicate()
                continue
            assert rebuild.returncode == 0, complained
            assert json.loads(said)["streams"] > 0
            through += 1
        verified = _verify(quick)
        assert verified["sound"], verified["findings"]
    assert wrong == []
    return through


def test_rebuilds_disturb_nobody(quick: ServerProcess, chance: random.Random) -> None:
    """Under writers, readers and kill -9 no call fails, and verify finds nothing meanwhile."""
    assert _under_load(quick, chance, seconds=2) >= 1


@pytest.mark.soak
def test_rebuilds_disturb_nobody_for_long(quick: ServerProcess, chance: random.Random) -> None:
    """The same for two minutes."""
    assert _under_load(quick, chance, seconds=120) > 10


def _verify(server: ServerProcess) -> dict[str, object]:
    words = [sys.executable, "-m", "cli.main", "verify", "--home", str(server.home), "--json"]
    done = subprocess.run(
        words, cwd=REPOSITORY, env=server.environment(), capture_output=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return dict(json.loads(done.stdout))


def _die_at(conninfo: str, statement: int) -> bool:
    """Kill a rebuild before a statement; tell whether it had so many."""
    words = [sys.executable, "-c", _DYING, conninfo, str(statement)]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, check=False)
    assert done.returncode in (0, 9), done.stderr
    return done.returncode == 9


def test_a_killed_rebuild_leaves_a_whole_ledger(
    quick: ServerProcess, chance: random.Random
) -> None:
    """Killed at some statements, it leaves the old rows or the new ones, and the next one works."""
    conninfo = owner_conninfo(quick)
    quick.api.brought_to("failed")
    for statement in sorted(chance.sample(range(1, 200), 2)):
        _die_at(conninfo, statement)
        invariants.check(conninfo)

    assert not _die_at(conninfo, 100_000)


@pytest.mark.soak
def test_a_rebuild_may_be_killed_at_any_statement() -> None:
    """The same at each statement, until there are no more, on a small ledger of its own."""
    with running_server(settings=QUICK) as server:
        conninfo = owner_conninfo(server)
        server.api.brought_to("failed")
        for statement in itertools.count(1):
            died = _die_at(conninfo, statement)
            invariants.check(conninfo)
            if not died:
                assert statement > 20
                return
