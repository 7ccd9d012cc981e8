"""The home folder of an embedded PostgreSQL: who owns it, and what lies in it.

    lock                held by the process that owns the home; the kernel frees it whatever dies
    postgres.lock       inherited by all processes of the server: free when none of them is left
    postgres-18/        the data folder, named by major version
    postgres-password   of the owner role
    postgres.log        what the server says
    programs-18.4-…/    a copy of the programs, where root's server user cannot reach them
    socket/             or a link to a folder with a shorter path

When root starts the server, the home stays root's and lets the server's user pass through to
the data and the socket, which are that user's; nothing else in it is open to anyone.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from pathlib import Path

from psycopg.conninfo import make_conninfo

from store.postgres_programs import Account, EmbeddedError, choose_account

OWNER_ROLE = "cronledger_owner"
SOCKET_NAME = ".s.PGSQL.5432"

_SOCKET_PATH_BYTES_MAX = 100  # the kernels allow 104 (BSD) or 108 (Linux), with the final NUL
_DYING_SECONDS = 0.5  # a killed process holds its locks until the kernel has taken it apart


class HomeInUseError(EmbeddedError):
    """Another process owns this home folder."""


class PostgresHome:
    """The folder one embedded server lives in.

    Args:
        path: of the folder, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.log_path = self.path / "postgres.log"

    def prepare(self) -> Account:
        """Make the folder; for root, choose the server's user and let it pass through.

        Raises:
            EmbeddedError: that user cannot get here.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        account = choose_account((self.path, *self.clusters().values()))
        if account.name is None:
            return account
        if self.path.stat().st_uid != account.uid:
            self.path.chmod(stat.S_IMODE(self.path.stat().st_mode) | 0o011)
        if account.run("/bin/sh", "-c", 'cd "$1"', "sh", self.path).returncode != 0:
            raise EmbeddedError(
                f"PostgreSQL does not run as root, and the user {account.name} cannot enter "
                f"{self.path}. Choose a home below folders that are open to all (chmod o+x), or "
                "give the home an owner who can enter it."
            )
        return account

    def clusters(self) -> dict[int, Path]:
        """The data folders by major version, the newest first."""
        found = {
            int(path.name.removeprefix("postgres-")): path
            for path in self.path.glob("postgres-*")
            if re.fullmatch("postgres-[0-9]+", path.name)
        }
        return dict(sorted(found.items(), reverse=True))

    def open_private(self, name: str, flags: int) -> int:
        """Open a file only its owner can read, made if missing; returns the descriptor.

        If root makes it in a home of another, it belongs to the owner of the home, who may want
        to start the server next time.
        """
        flags |= os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.path / name, flags, 0o600)
        if os.geteuid() == 0:
            owner = self.path.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        return descriptor

    def take(self) -> int:
        """Own the home until the returned descriptor is closed or this process ends.

        Raises:
            HomeInUseError: another process owns it.
        """
        descriptor = self.open_private("lock", os.O_RDWR)
        if not _locked_within(descriptor, _DYING_SECONDS):
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise HomeInUseError(
                f"The home {self.path} is in use by process {holder}. Talk to that server, or "
                "stop it first, or choose another home."
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def conninfo(self, dbname: str) -> str:
        """What the owner role connects with; also right in a process that does not own the home.

        Raises:
            EmbeddedError: there is no password that we may read.
        """
        return make_conninfo(
            host=str(self.socket_folder()),
            port=5432,
            user=OWNER_ROLE,
            password=self.password(),
            dbname=dbname,
        )

    def password(self) -> str:
        """The owner role's password.

        Raises:
            EmbeddedError: it is not there, or not for us to read.
        """
        path = self.path / "postgres-password"
        try:
            return path.read_text(encoding="ascii")
        except OSError as error:
            raise EmbeddedError(
                f"{path} cannot be read ({error.strerror}). It is made with the server at the "
                "first start; if the server is there, put the file back from a copy."
            ) from error

    def make_password(self) -> str:
        """The password for a new cluster: at this point it is on disk, whole."""
        path = self.path / "postgres-password"
        if not path.exists():  # else an earlier start came this far and no farther
            aside = path.with_suffix(".new")
            descriptor = self.open_private(aside.name, os.O_WRONLY | os.O_TRUNC)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(32))
                file.flush()
                os.fsync(file.fileno())
            aside.rename(path)
        return self.password()

    def sync(self) -> None:
        """Make the names in the folder last."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def socket_folder(self) -> Path:
        """Where the socket is; the same for every process, whatever its environment."""
        return (self.path / "socket").resolve()

    def make_socket_folder(self, account: Account) -> Path:
        """HOME/socket: a folder, or a link to one in the runtime folder if its path will not do.

        Raises:
            EmbeddedError: somebody else has put something in that place.
        """
        inside = self.path / "socket"
        if inside.is_symlink():
            inside.unlink()
        if _suits_a_socket(inside):
            inside.mkdir(exist_ok=True)
            os.chown(inside, account.uid, account.gid)
            inside.chmod(0o700)
            return inside
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        outside = _runtime_folder(account) / f"cronledger-{digest}"
        with contextlib.suppress(FileExistsError):
            outside.mkdir(mode=0o700)
            os.chown(outside, account.uid, account.gid, follow_symlinks=False)
        found = outside.lstat()
        wrong = not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077
        if wrong or found.st_uid != account.uid:
            raise EmbeddedError(
                f"{outside} should be a folder that is open to user id {account.uid} only, and "
                "is not. Remove it, then start again."
            )
        if inside.is_dir():
            shutil.rmtree(inside)
        inside.symlink_to(outside)
        return outside


def _locked_within(descriptor: int, seconds: float) -> bool:
    """True once the file is locked by us; False if somebody holds it for that long."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _suits_a_socket(folder: Path) -> bool:
    """True if a socket's path in it is short enough, and libpq does not take it for a list."""
    size = len(os.fsencode(folder / SOCKET_NAME))
    return size <= _SOCKET_PATH_BYTES_MAX and "," not in str(folder) and str(folder).isprintable()


def _runtime_folder(account: Account) -> Path:
    """A folder with a short path that the server's user can enter."""
    ours = os.environ.get("XDG_RUNTIME_DIR")
    if account.name is not None:  # root's own runtime folder is closed to it
        ours = "/run"
    return Path(ours if ours and Path(ours).is_dir() else tempfile.gettempdir())
