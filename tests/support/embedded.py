"""Homes, owners and processes for the tests of the embedded server."""

import contextlib
import os
import pwd
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from store.embedded import EmbeddedServer, find_binaries
from store.postgres_programs import Account, choose_account, within_reach

SECONDS = 20.0
# The setting that names PostgreSQL's programs for a server names them for all tests too.
PROGRAMS_SETTING = "CRONLEDGER_POSTGRES_BIN"
PROGRAMS = Path(os.environ[PROGRAMS_SETTING]) if os.environ.get(PROGRAMS_SETTING) else None
REPOSITORY = Path(__file__).parents[2]
_OWNER_PROGRAM = """
import sys
from pathlib import Path
from store import embedded
from store.embedded import EmbeddedServer
home, programs = sys.argv[1:]
with EmbeddedServer(Path(home), bin_dir=Path(programs), durable=False) as server:
    print(server.postmaster_pid, flush=True)
    sys.stdin.read()
"""


def _memory() -> Path | None:
    """A file system in memory if it has room and lets programs run: some ten times faster."""
    path = Path("/dev/shm")  # noqa: S108 - only a place to make a temporary folder in
    with contextlib.suppress(OSError):
        found = os.statvfs(path)
        has_room = found.f_bavail * found.f_frsize > 2**30
        if has_room and not found.f_flag & os.ST_NOEXEC and os.access(path, os.W_OK):
            return path
    return None


def programs_in_reach(folder: Path) -> Path:
    """PostgreSQL's programs, or a copy in the folder if ours are closed to the server's user.

    So they are for root whose checkout lies in its own home.
    """
    return within_reach(find_binaries(PROGRAMS), choose_account(()), folder)


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that every user can enter; pytest's own are closed to the server's."""
    path = Path(tempfile.mkdtemp(prefix="embedded-", dir=_memory())).resolve()
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextlib.contextmanager
def owner_process(
    home: Path, python: str = sys.executable, programs: Path | None = None, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """Another process that starts a server in the home; it prints the postmaster's id."""
    words = [python, "-c", _OWNER_PROGRAM, str(home), str(programs or find_binaries(PROGRAMS))]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, **options
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def pid_from(process: subprocess.Popen[str]) -> int:
    """The postmaster of an owner process, which has answered a query by now."""
    assert process.stdout is not None
    return int(process.stdout.readline())


@contextlib.contextmanager
def ends_within_deadline(pid: int) -> Iterator[None]:
    """The process, of whoever, has ended soon after the block."""
    handle = os.pidfd_open(pid)
    try:
        yield
        assert select.select([handle], [], [], SECONDS)[0], f"process {pid} goes on"
    finally:
        os.close(handle)


def query(server: EmbeddedServer, statement: str) -> Any:
    """The first value a statement returns, asked over a connection of its own."""
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def remember(server: EmbeddedServer) -> None:
    """Commit something that must be there later."""
    query(server, "CREATE TABLE kept AS SELECT 42 AS answer")


def watcher_of(postmaster: int) -> int:
    """The process that waits for the death of the postmaster's owner."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = path.read_text().partition(" (")[2].rpartition(") ")
            if name == "sh" and int(rest.split()[2]) == postmaster:
                return int(path.parent.name)
    raise AssertionError("the postmaster has no watcher")


def account_of(path: Path) -> Account:
    """The account that owns a path, in the form that starts processes as it."""
    entry = pwd.getpwuid(path.stat().st_uid)
    switch = os.geteuid() == 0
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name if switch else None)
