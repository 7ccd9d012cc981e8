"""Rules of what lives beside the HTTP server: the watch over the database, the local agent."""

import gc
import threading
import time
from pathlib import Path
from typing import cast

import pytest

from api import server
from api.settings import load
from store.embedded import EmbeddedServer

DEADLINE_SECONDS = 20.0


class Database:
    """An embedded server in name, which does with each look what a test says."""

    def __init__(self) -> None:
        self.looks = 0
        self.looked_again = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def ensure_running(self) -> bool:
        """Fail at the first look."""
        self.looks += 1
        if self.looks == 1:
            raise RuntimeError("nobody thought of this")
        self.looked_again.set()
        self.may_go_on.wait(DEADLINE_SECONDS)
        return False


def companions(home: Path, database: Database) -> server._Companions:
    return server._Companions(
        load(home, {}), cast("EmbeddedServer", database), with_agent=False, drain_seconds=0
    )


def test_the_watch_over_the_database_survives_a_surprise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception that nobody expected is logged, and the next look is taken."""
    database = Database()
    subject = companions(tmp_path, database)
    subject.start("http://127.0.0.1:1")
    assert database.looked_again.wait(DEADLINE_SECONDS)
    subject.stop()
    assert "nobody thought of this" in caplog.text


def test_a_database_that_hangs_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    """The stop waits for the watch for a bounded time only."""
    database = Database()
    database.may_go_on.clear()
    subject = companions(tmp_path, database)
    subject.start("http://127.0.0.1:1")
    assert database.looked_again.wait(DEADLINE_SECONDS)
    began = time.monotonic()
    subject.stop()
    assert time.monotonic() - began < 5
    assert not (tmp_path / "server.json").exists()
    database.may_go_on.set()


def test_an_agent_that_is_not_authorised_is_started_ever_more_seldom() -> None:
    """From one second to a minute; any other end is followed by a start after a second."""
    pauses = [0.0]
    for _ in range(8):
        pauses.append(server._pause_after(4, pauses[-1]))
    assert pauses[1:] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert server._pause_after(None, 4) == 8
    assert server._pause_after(1, 60) == server._pause_after(0, 60) == 1


@pytest.mark.parametrize(
    ("host", "reachable"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("fd00::7", "[fd00::7]"),
        ("ledger.example", "ledger.example"),
    ],
)
def test_clients_of_this_machine_are_told_an_address_they_can_reach(
    host: str, reachable: str
) -> None:
    """A wildcard is an address to listen on, not one to go to."""
    assert server._reachable(host) == reachable


def test_garbage_is_looked_for_again_once_a_server_has_started() -> None:
    """While it loads nothing is collected; what was loaded is passed by from then on."""
    before = gc.get_threshold()
    gc.disable()
    try:
        server._settle()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.enable()
        gc.set_threshold(*before)
