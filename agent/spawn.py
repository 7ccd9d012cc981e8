"""Starts a process in a session of its own, its output in two pipes."""

from __future__ import annotations

import os
import pwd
from io import FileIO

from agent.bare import signal

TYPE_CHECKING = False  # the module `typing` takes its time
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO, Any, Protocol

    class Child(Protocol):
        """A process that was started: a `subprocess.Popen` is one."""

        @property
        def pid(self) -> int:
            """Its number, which is that of its session and group too."""

        @property
        def stdout(self) -> IO[bytes] | None:
            """The pipe of its standard output."""

        @property
        def stderr(self) -> IO[bytes] | None:
            """The pipe of its standard error."""

        def wait(self) -> int:
            """Return its exit code, or minus the signal that ended it."""


_STDERR = 2


class _Spawned:
    """A process by `posix_spawn`."""

    def __init__(self, pid: int, stdout: int, stderr: int) -> None:
        self.pid = pid
        self.stdout = FileIO(stdout)
        self.stderr = FileIO(stderr)

    def wait(self) -> int:
        try:
            return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:  # the system has thrown its status away
            return 0


def spawn(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str] | None,
    working_dir: str | None,
    callers_files: bool,
    user: str | None,
) -> Child:
    """Start a program; what the arguments mean: see `process.Command`.

    Raises:
        OSError: It cannot be started.
        ValueError: An argument or a variable is one that no process can have.
        KeyError: There is no such user.
    """
    found = os.environ if environment is None else environment
    is_plain = callers_files and working_dir is None and user is None
    if is_plain and found.get("PATH") == os.environ.get("PATH"):
        child = _spawn_plain(argv, found)
        if child is not None:
            return child
    import subprocess  # noqa: PLC0415 - takes long, and `exec` seldom needs it

    return subprocess.Popen(  # noqa: S603 - running what it is told is what it is for
        argv,
        stdin=None if callers_files else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd=working_dir,
        env=None if environment is None else dict(environment),
        close_fds=not callers_files,
        start_new_session=True,
        **_identity(user),
    )


def _spawn_plain(argv: Sequence[str], environment: Mapping[str, str]) -> Child | None:
    """Start a program in our own surroundings; None where the system cannot do it this way."""
    ours: list[int] = []
    theirs: list[int] = []
    try:
        for _ in range(2):
            reader, writer = os.pipe()
            ours.append(reader)
            theirs.append(writer)
        if min(theirs) <= _STDERR:
            _close(ours)
            return None  # one of the three is closed here, and would be written over
        actions = [(os.POSIX_SPAWN_DUP2, theirs[0], 1), (os.POSIX_SPAWN_DUP2, theirs[1], 2)]
        pid = os.posix_spawnp(
            argv[0],
            list(argv),
            environment,
            file_actions=actions,
            setsid=True,
            # Python ignores them, which a program would inherit.
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
    except (AttributeError, NotImplementedError):
        _close(ours)
        return None
    except BaseException:
        _close(ours)
        raise
    else:
        return _Spawned(pid, *ours)
    finally:
        _close(theirs)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _identity(user: str | None) -> dict[str, Any]:
    """Return what makes a process one of another user. Raises KeyError if there is no such user."""
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    if entry.pw_uid == os.geteuid():
        return {}
    groups = os.getgrouplist(user, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups}
