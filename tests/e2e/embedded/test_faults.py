"""The embedded PostgreSQL survives whatever dies, and outlives nobody."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from store import embedded
from store.embedded import EmbeddedError, EmbeddedServer, HomeInUseError
from tests.support.embedded import (
    PROGRAMS,
    SECONDS,
    account_of,
    ends_within_deadline,
    owner_process,
    pid_from,
    programs_in_reach,
    query,
    remember,
    watcher_of,
)

pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="waits for processes of others, as only Linux can"
)


def test_a_new_home_gets_a_durable_server(top: Path) -> None:
    """From nothing to a server with durable settings, closed to the network; stop is repeatable."""
    with EmbeddedServer(top / "home", bin_dir=PROGRAMS) as server:
        server.start()
        got = {
            name: query(server, f"SHOW {name}")
            for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums")
        }
        assert got == dict.fromkeys(got, "on")
        assert query(server, "SHOW listen_addresses") == ""
        assert query(server, "SHOW password_encryption") == "scram-sha-256"
        assert query(server, "SHOW server_encoding") == "UTF8"
        assert query(server, "SHOW timezone") == "UTC"
        assert os.getsid(server.postmaster_pid) == server.postmaster_pid
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            psycopg.connect(server.conninfo(), password="guessed")
    server.stop()
    with pytest.raises(EmbeddedError, match="not started"):
        _ = server.postmaster_pid


def test_a_restart_finds_what_was_stored(server: EmbeddedServer) -> None:
    """Stop and start keep the data; a server that was stopped on purpose is not revived."""
    server.start()
    remember(server)
    server.stop()
    assert not server.ensure_running()
    server.start()
    assert query(server, "SELECT answer FROM kept") == 42


def test_a_home_has_one_owner(server: EmbeddedServer, top: Path) -> None:
    """A second owner is turned away by name, but can connect; the end of the first frees the home.

    The first is killed: its server ends by itself, with nobody there to end it.
    """
    with owner_process(top / "home") as owner:
        postmaster = pid_from(owner)
        with pytest.raises(HomeInUseError, match=f"in use by process {owner.pid}"):
            server.start()
        assert query(server, "SELECT 1") == 1
        with ends_within_deadline(postmaster):
            owner.kill()
    server.start()


def test_an_owner_that_stops_leaves_nothing(server: EmbeddedServer, top: Path) -> None:
    """After an orderly end of the owner its server has gone, and the home is free."""
    with owner_process(top / "home") as owner, ends_within_deadline(pid_from(owner)):
        owner.communicate("", timeout=SECONDS)
        assert owner.returncode == 0
    server.start()


def test_a_start_right_after_the_owner_was_killed_takes_over(
    server: EmbeddedServer, top: Path
) -> None:
    """Kill -9 of the owner and a start at once: the old server ends, the new one has the data."""
    with owner_process(top / "home") as owner:
        postmaster = pid_from(owner)
        remember(server)
        with ends_within_deadline(postmaster):
            owner.kill()
            server.start()
            assert query(server, "SELECT answer FROM kept") == 42


def test_an_orphan_without_watcher_is_taken_over(server: EmbeddedServer, top: Path) -> None:
    """With owner and watcher killed the postmaster would live on; the next start ends it."""
    with owner_process(top / "home") as owner:
        postmaster = pid_from(owner)
        with ends_within_deadline(postmaster):
            os.kill(watcher_of(postmaster), signal.SIGKILL)
            owner.kill()
            server.start()
    assert query(server, "SELECT 1") == 1


def test_an_orphan_that_hangs_is_taken_over(
    server: EmbeddedServer, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A postmaster that recovers from a crash can miss a fast shutdown; it is asked more firmly."""
    monkeypatch.setattr(embedded, "_SHUTDOWN_SECONDS", 1)
    with owner_process(top / "home") as owner:
        postmaster = pid_from(owner)
        checkpointer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
        remember(server)
        with ends_within_deadline(postmaster):
            os.kill(query(server, checkpointer), signal.SIGKILL)
            os.kill(watcher_of(postmaster), signal.SIGKILL)
            owner.kill()
            server.start()
    assert query(server, "SELECT answer FROM kept") == 42


def test_everything_killed_at_once_is_recovered(server: EmbeddedServer, top: Path) -> None:
    """Kill -9 of owner, watcher, postmaster: committed data is there at the next start."""
    with owner_process(top / "home") as owner:
        postmaster = pid_from(owner)
        remember(server)
        owner.kill()
        with contextlib.suppress(ProcessLookupError):  # the watcher may have been faster
            os.killpg(postmaster, signal.SIGKILL)
    server.start()
    assert query(server, "SELECT answer FROM kept") == 42


def test_a_killed_postmaster_is_noticed_and_started_again(server: EmbeddedServer) -> None:
    """ensure_running says whether it had to act; clients that were connected do not stand in it."""
    server.start()
    assert not server.ensure_running()
    remember(server)
    client = psycopg.connect(server.conninfo())
    killed = server.postmaster_pid
    with ends_within_deadline(killed):
        os.kill(killed, signal.SIGKILL)
    assert server.ensure_running()
    client.close()
    assert server.postmaster_pid != killed
    assert query(server, "SELECT answer FROM kept") == 42
    assert not server.ensure_running()


def test_stop_and_start_after_the_postmaster_was_killed(server: EmbeddedServer) -> None:
    """An owner that has not noticed the death of its postmaster can stop and start as ever."""
    server.start()
    with ends_within_deadline(server.postmaster_pid):
        os.kill(server.postmaster_pid, signal.SIGKILL)
    server.stop()
    server.start()
    assert query(server, "SELECT 1") == 1


def test_a_half_made_cluster_is_never_used(top: Path) -> None:
    """The owner dies in the middle of initdb: the next start makes a whole cluster."""
    real, programs, reached = programs_in_reach(top / "real"), top / "bin", top / "reached"
    programs.mkdir()
    (programs / "postgres").symlink_to(real / "postgres")
    (programs / "initdb").write_text(f"""#!/bin/sh
[ "$1" = -V ] && exec '{real}/initdb' -V
data=${{1#--pgdata=}}
mkdir "$data" && echo 18 >"$data/PG_VERSION" && echo $$ >'{reached}' && exec sleep 1000
""")
    (programs / "initdb").chmod(0o755)
    os.mkfifo(reached)
    reached.chmod(0o666)
    with owner_process(top / "home", programs=programs) as owner:
        initdb = int(reached.read_text())
        owner.kill()
        os.kill(initdb, signal.SIGKILL)
    assert (top / "home" / "initdb" / "data" / "PG_VERSION").exists()
    with EmbeddedServer(top / "home", bin_dir=PROGRAMS, durable=False) as server:
        assert query(server, "SELECT 1") == 1
    assert not (top / "home" / "initdb").exists()


def test_a_pid_file_that_names_another_process_is_stale(server: EmbeddedServer, top: Path) -> None:
    """After a restart of the machine the old id is anybody's: it is neither believed nor killed."""
    server.start()
    pid_file = Path(query(server, "SHOW data_directory")) / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    user = account_of(pid_file.parent).spawn_options()
    with subprocess.Popen(["sleep", "1000"], **user) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        (top / "home" / "socket").mkdir(exist_ok=True)
        (top / "home" / "socket" / ".s.PGSQL.5432.lock").write_text(f"{stranger.pid}\n")
        try:
            server.start()
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_server_started_by_hand_is_left_alone(server: EmbeddedServer) -> None:
    """An operator's own postmaster on the data is reported, not ended and not run beside."""
    server.start()
    data = Path(query(server, "SHOW data_directory"))
    server.stop()
    user = account_of(data).spawn_options()
    program = str(programs_in_reach(data.parent) / "postgres")
    words = [program, "-D", str(data), "-c", "listen_addresses=", "-k", str(data)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, **user) as foreign:
        try:
            deadline = time.monotonic() + SECONDS
            while not (data / "postmaster.pid").exists():
                assert foreign.poll() is None
                assert time.monotonic() < deadline
            with pytest.raises(EmbeddedError, match=f"Process {foreign.pid} is a PostgreSQL"):
                server.start()
            assert foreign.poll() is None
        finally:
            foreign.terminate()
