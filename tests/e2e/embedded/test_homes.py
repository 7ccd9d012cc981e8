"""Any path and any user makes a home for the embedded PostgreSQL, or is told why not."""

import contextlib
import os
import pwd
import shutil
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from store.embedded import EmbeddedError, EmbeddedServer, find_binaries
from store.postgres_home import PostgresHome
from tests.support.embedded import (
    PROGRAMS,
    REPOSITORY,
    SECONDS,
    account_of,
    owner_process,
    pid_from,
    programs_in_reach,
    query,
    remember,
)
from tests.support.postgres import copy_home

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be more than one user")


@pytest.mark.parametrize("name", ['it\'s "a home" $HOME `x` \\', "a,b", "deep" * 40, "schön"])
def test_any_path_makes_a_home(top: Path, name: str) -> None:
    """Spaces, quotes, commas and long paths work; the socket goes elsewhere if it has to."""
    copy_home(top / name)
    with EmbeddedServer(top / name, bin_dir=PROGRAMS, durable=False) as server:
        assert query(server, "SELECT 1") == 1
        sockets = PostgresHome(top / name).socket_folder()
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert (top in sockets.parents) == (len(name) < 40 and "," not in name)
    assert not sockets.exists()


def test_a_cluster_is_made_in_a_quoted_home(top: Path) -> None:
    """Initdb, too, gets along with spaces and quotes."""
    programs = programs_in_reach(top)  # not in that home: initdb cannot lie in a quoted folder
    with EmbeddedServer(top / 'it\'s "a home"', bin_dir=programs, durable=False) as server:
        assert query(server, "SELECT 1") == 1


def test_a_socket_folder_of_somebody_else_is_refused(server: EmbeddedServer, top: Path) -> None:
    """A folder that stands open where the socket should go is not used."""
    home = (top / "home").rename(top / ("deep" * 40))
    server = EmbeddedServer(home, bin_dir=PROGRAMS, durable=False)
    with server:
        sockets = PostgresHome(home).socket_folder()
    sockets.mkdir(mode=0o755)
    try:
        with pytest.raises(EmbeddedError, match=f"{sockets} should be a folder"):
            server.start()
    finally:
        sockets.rmdir()


def test_a_server_that_would_lose_events_does_not_start(server: EmbeddedServer, top: Path) -> None:
    """Durability is asked of the running server: a role's setting beats the command line."""
    with server:
        query(server, "ALTER ROLE cronledger_owner SET synchronous_commit = off")
    with pytest.raises(EmbeddedError, match="synchronous_commit is not on"):
        EmbeddedServer(top / "home", bin_dir=PROGRAMS).start()


def test_a_broken_cluster_is_reported_in_its_own_words(server: EmbeddedServer, top: Path) -> None:
    """What PostgreSQL says when it gives up reaches the user; a long log starts anew."""
    server.start()
    control = Path(query(server, "SHOW data_directory")) / "global" / "pg_control"
    server.stop()
    os.truncate(top / "home" / "postgres.log", 11 * 1024 * 1024)
    control.unlink()
    with pytest.raises(EmbeddedError, match="pg_control"):
        server.start()
    assert (top / "home" / "postgres.log").stat().st_size < 10_000


def test_a_lost_password_is_told(server: EmbeddedServer, top: Path) -> None:
    """Another password than the cluster's is reported at once, and so is none."""
    server.start()
    server.stop()
    (top / "home" / "postgres-password").write_text("guessed")
    with pytest.raises(EmbeddedError, match="postgres-password: "):
        server.start()
    (top / "home" / "postgres-password").unlink()
    with pytest.raises(EmbeddedError, match="put the file back"):
        server.start()


def test_programs_fit_the_cluster_or_are_refused(top: Path) -> None:
    """A folder without programs, and a cluster no programs fit, are refused with a next step."""
    with pytest.raises(EmbeddedError, match="Name the folder that holds"):
        find_binaries(top)
    (top / "home" / "postgres-9").mkdir(parents=True)
    with pytest.raises(EmbeddedError, match=r"PostgreSQL 9 was not found\. Install"):
        EmbeddedServer(top / "home").start()


@needs_root
def test_as_root_only_data_and_socket_are_the_server_users(top: Path) -> None:
    """Root keeps the home and its secrets; the server's user can pass, and owns its own."""
    with EmbeddedServer(top / "home", bin_dir=PROGRAMS, durable=False) as server:
        data = Path(query(server, "SHOW data_directory"))
        modes = {
            path.name: (path.stat().st_uid == 0, stat.S_IMODE(path.stat().st_mode))
            for path in (top / "home", *(top / "home").iterdir())
            if not path.name.startswith("programs-")  # only there if root's own are out of reach
        }
    assert modes == {
        "home": (True, 0o711),
        "lock": (True, 0o600),
        "postgres.lock": (True, 0o600),
        "postgres.log": (True, 0o600),
        "postgres-password": (True, 0o600),
        data.name: (False, 0o700),
        "socket": (False, 0o700),
    }


@needs_root
def test_as_root_programs_out_of_reach_are_copied(top: Path) -> None:
    """An environment below a closed folder works for root too; a closed home is refused."""
    prefix = find_binaries(PROGRAMS).parent
    package = prefix.parent
    programs = top / "closed" / package.name / prefix.name / "bin"
    programs.parent.parent.mkdir(parents=True)
    programs.parent.symlink_to(prefix)
    libraries = package.with_name(f"{package.name}.libs")
    (top / "closed" / libraries.name).symlink_to(libraries)
    (top / "closed").chmod(0o700)
    with EmbeddedServer(top / "home", bin_dir=programs, durable=False) as server:
        assert Path(f"/proc/{server.postmaster_pid}/exe").resolve().is_relative_to(top / "home")
    with pytest.raises(EmbeddedError, match="cannot enter"):
        EmbeddedServer(top / "closed" / "home").start()


@needs_root
def test_a_home_of_an_ordinary_user_works_for_the_user_and_for_root(top: Path) -> None:
    """Root runs the server as the owner of the home, who can start it alone afterwards."""
    (top / "home").mkdir()
    shutil.chown(top / "home", "nobody")
    nobody = pwd.getpwnam("nobody").pw_uid
    with EmbeddedServer(top / "home", bin_dir=PROGRAMS, durable=False) as server:
        remember(server)
        assert Path(f"/proc/{server.postmaster_pid}").stat().st_uid == nobody
    user = account_of(top / "home").spawn_options()
    paths = f"{REPOSITORY}{os.pathsep}{sysconfig.get_path('purelib')}"
    options = {"env": user["env"] | {"PYTHONPATH": paths}}
    options |= {name: user[name] for name in ("user", "group", "extra_groups")}
    version = "python{}.{}".format(*sys.version_info)
    for python in (sys.executable, f"/usr/bin/{version}"):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run([python, "-c", "import psycopg"], check=True, cwd="/", **options)
            break
    else:
        pytest.skip("no Python here that an ordinary user can run")
    with owner_process(top / "home", python, **options) as owner:
        assert Path(f"/proc/{owner.pid}").stat().st_uid == nobody
        assert pid_from(owner) > 0
        assert query(server, "SELECT answer FROM kept") == 42
        owner.communicate("", timeout=SECONDS)
