"""Runs one command in a session of its own, and ends it, with all that came of it, if it must."""

from __future__ import annotations

import errno
import os
import pwd
import time

from agent import threads
from agent.bare import signal
from agent.kindred import Kindred
from agent.record import Record
from agent.spawn import spawn

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent.spawn import Child

EXITED = "exited"
TIMED_OUT = "timed_out"
CANCELED = "canceled"

# Why the agent ended a command (besides the two outcomes above).
AGENT_SHUTDOWN = "agent_shutdown"
LEASE_LOST = "lease_lost"
CUT_OFF = "cut_off"

NOT_FOUND_EXIT = 127
NOT_EXECUTABLE_EXIT = 126
SIGNAL_EXIT_BASE = 128

KILL_GRACE_SECONDS = 10.0
_LOST_STATUS = 255  # not 0: nobody knows that it went well
_KILL_CONFIRM_SECONDS = 10.0  # a process in uninterruptible sleep survives SIGKILL for a while
_POLL_SECONDS = 0.01  # doubled each time, up to:
_POLL_SECONDS_MAX = 0.25
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Command(Record):
    """What to run, and in which surroundings.

    Attributes:
        line: A string for `/bin/sh -c`, or the arguments of a program that is run as it is.
        environment: All variables of the command; None means those of this process.
        working_dir: Where it starts; None means where this process stands.
        callers_files: True passes on standard input and other inherited descriptors; False gives
            /dev/null and nothing else.
        user: Who runs it, if not we ourselves; only root can ask for another.
    """

    line: str | Sequence[str]
    environment: Mapping[str, str] | None = None
    working_dir: str | None = None
    callers_files: bool = False
    user: str | None = None


class Ending(Record):
    """How a command ended, in the words of the report to the server."""

    outcome: str
    exit_code: int | None
    signal: int | None
    failure_reason: str | None
    error: str | None
    duration_ms: int


class CannotStart(Exception):
    """The command could not be started; the message says why in a sentence."""

    def __init__(self, exit_code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code

    def ending(self) -> Ending:
        """Return what to report: nothing ran, so no time passed."""
        return Ending(EXITED, self.exit_code, None, "spawn_failed", str(self), 0)


def scratch_environment(
    own: Mapping[str, str], execution_id: str, job_name: str, user: str | None = None
) -> dict[str, str]:
    """Return the environment of an agent's command: a cron-like minimum, then the job's own.

    Raises CannotStart if there is no such user.
    """
    name, home = _account(user)
    environment = {
        "PATH": os.environ.get("PATH") or _DEFAULT_PATH,
        "HOME": home,
        "USER": name,
        "LOGNAME": name,
        "SHELL": "/bin/sh",
    }
    if "LANG" in os.environ:
        environment["LANG"] = os.environ["LANG"]
    environment.update(own)
    environment["CRONLEDGER_EXECUTION_ID"] = execution_id
    environment["CRONLEDGER_JOB_NAME"] = job_name
    return environment


def _account(user: str | None) -> tuple[str, str]:
    """Return the name and the home folder of a user, or of the one we run as."""
    if user is not None:
        try:
            entry = pwd.getpwnam(user)
        except KeyError as error:
            raise CannotStart(NOT_EXECUTABLE_EXIT, _no_user(user)) from error
        return entry.pw_name, entry.pw_dir
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:  # containers run under numbers that nobody gave a name
        return os.environ.get("USER", str(os.getuid())), os.environ.get("HOME") or "/"
    return entry.pw_name, os.environ.get("HOME") or entry.pw_dir


class RunningCommand:
    """A started command. `supervise` belongs to one thread, the rest may be called from any."""

    def __init__(self, child: Child, line: str | Sequence[str], *, adopting: bool) -> None:
        assert child.stdout is not None  # noqa: S101 - both are pipes, see `spawn`
        assert child.stderr is not None  # noqa: S101
        self.line = line
        self.stdout = child.stdout
        self.stderr = child.stderr
        self._child = child
        self._kindred = Kindred(child.pid, adopting=adopting)
        self._adopting = adopting
        self._started = time.monotonic()
        self._ended = self._started
        # Reentrant: a signal handler may interrupt the thread that holds it.
        self._changed = threads.Condition()
        self._status: int | None = None
        self._reason: str | None = None
        self._grace_seconds: float | None = None
        self._hurry = False
        threads.Thread(self._reap).start()

    def end(self, reason: str, grace_seconds: float | None = None) -> None:
        """Ask for the command's end; the first reason counts, and none after it has exited."""
        with self._changed:
            if self._status is None and self._reason is None:
                self._reason = reason
                self._grace_seconds = grace_seconds
                self._changed.notify_all()

    def kill(self, reason: str) -> None:
        """Ask for the command's end without any grace."""
        with self._changed:
            self.end(reason)
            self._hurry = True
            self._changed.notify_all()

    def send_signal(self, number: int) -> None:
        """Pass a signal on to the command's group, if the command still runs."""
        with self._changed:
            if self._status is None:
                self._kindred.signal_group(number)

    def supervise(
        self, timeout_seconds: float | None, grace_seconds: float = KILL_GRACE_SECONDS
    ) -> Ending:
        """Wait for the command's end, or bring it about; return how it ended.

        An end that was brought about is the end of everything that descends from the command. One
        that came by itself leaves alone what the command has left in the background.
        """
        with self._changed:
            self._wait(timeout_seconds, self._is_over)
            if not self._is_over():
                self._reason = TIMED_OUT
            if self._reason is not None:
                self._terminate(grace_seconds)
            return self._ending(timeout_seconds)

    def _is_over(self) -> bool:
        return self._status is not None or self._reason is not None

    def _wait(self, seconds: float | None, over: Callable[[], bool]) -> bool:
        return self._changed.wait_for(over, seconds)

    def _reap(self) -> None:
        pid = self._child.pid
        is_lost = False
        try:
            while self._adopting:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
                if ended is not None and ended.si_pid == pid:
                    break
                if ended is not None:
                    os.waitpid(ended.si_pid, 0)  # an orphan that we have adopted
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:  # SIGCHLD is ignored: the system has thrown its status away
            is_lost = True
        moment = time.monotonic()
        with self._changed:
            # Reaped under the lock: nobody signals a number that may be another process by now.
            status = self._child.wait()
            self._status = _LOST_STATUS if is_lost else status
            self._ended = moment
            self._changed.notify_all()

    def _terminate(self, grace_seconds: float) -> None:
        if self._grace_seconds is not None:
            grace_seconds = min(grace_seconds, self._grace_seconds)
        deadline = time.monotonic() + grace_seconds
        poll_seconds, told = _POLL_SECONDS, set[int]()
        # The shell often dies first: what it has started has the same grace.
        while not self._hurry and (left := deadline - time.monotonic()) > 0:
            living = self._kindred.living()
            if self._status is not None and not living and self._kindred.is_gone():
                return
            if news := living - told:
                # A stopped process acts on SIGTERM only after SIGCONT.
                self._kindred.signal(news, signal.SIGTERM)
                self._kindred.signal(news, signal.SIGCONT)
                told = living
            self._changed.wait(min(left, poll_seconds))
            poll_seconds = min(2 * poll_seconds, _POLL_SECONDS_MAX)
        self._kill_all()

    def _kill_all(self) -> None:
        deadline = time.monotonic() + _KILL_CONFIRM_SECONDS
        poll_seconds = _POLL_SECONDS
        while time.monotonic() < deadline:
            self._kindred.kill()
            if self._status is not None and self._kindred.is_gone():
                return
            self._changed.wait(poll_seconds)
            poll_seconds = min(2 * poll_seconds, _POLL_SECONDS_MAX)

    def _ending(self, timeout_seconds: float | None) -> Ending:
        number = -self._status if self._status is not None and self._status < 0 else None
        code = self._status if number is None else SIGNAL_EXIT_BASE + number
        ended = self._ended if self._status is not None else time.monotonic()
        outcome = self._reason if self._reason in {TIMED_OUT, CANCELED} else EXITED
        return Ending(
            outcome,
            code,
            number,
            _failure_reason(self._reason, outcome, number),
            _sentence(self._reason, number, timeout_seconds),
            round((ended - self._started) * 1000),
        )


def start(command: Command, *, adopting: bool = False) -> RunningCommand:
    """Start the command in a session of its own, its output in two pipes.

    `adopting`: this process has nothing else to do than this command, and adopts its orphans.

    Raises:
        CannotStart: There is no such program, it is not executable, or the like.
    """
    line = command.line
    argv = ["/bin/sh", "-c", line] if isinstance(line, str) else list(line)
    if not argv:
        raise CannotStart(NOT_FOUND_EXIT, "the command is empty")
    try:
        child = spawn(
            argv,
            environment=command.environment,
            working_dir=command.working_dir,
            callers_files=command.callers_files,
            user=command.user,
        )
    except (OSError, ValueError, KeyError) as error:
        raise _refusal(error, argv[0], command) from error
    return RunningCommand(child, line, adopting=adopting)


def _refusal(error: Exception, program: str, command: Command) -> CannotStart:
    folder = command.working_dir
    if isinstance(error, KeyError):
        return CannotStart(NOT_EXECUTABLE_EXIT, _no_user(command.user))
    if not isinstance(error, OSError):  # a NUL byte, or = in a variable's name
        return CannotStart(NOT_EXECUTABLE_EXIT, f"the command cannot be started: {error}")
    if folder is not None and not os.access(folder, os.X_OK):
        return CannotStart(
            NOT_EXECUTABLE_EXIT, f"the working directory {folder} is not there or closed to us"
        )
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return CannotStart(NOT_FOUND_EXIT, f"{program}: not found")
    return CannotStart(NOT_EXECUTABLE_EXIT, f"{program}: {error.strerror or error}")


def _no_user(user: str | None) -> str:
    return f"there is no user {user!r} here"


def _failure_reason(reason: str | None, outcome: str, number: int | None) -> str | None:
    # A command that was cut off has failed, even if it ends on SIGTERM with exit code 0.
    if reason in {AGENT_SHUTDOWN, LEASE_LOST, CUT_OFF}:
        return AGENT_SHUTDOWN
    return "signal" if outcome == EXITED and number is not None else None


def _sentence(reason: str | None, number: int | None, timeout_seconds: float | None) -> str | None:
    if reason == TIMED_OUT:
        return f"timed out after {timeout_seconds:.10g} s"
    if reason == CANCELED:
        return "canceled on request"
    if reason == AGENT_SHUTDOWN:
        return "ended because its agent was stopped"
    if reason == LEASE_LOST:
        return "ended because its agent had lost the lease"
    if reason == CUT_OFF:
        return "ended because its agent could not renew the lease"
    return None if number is None else f"ended by {signal_name(number)}"


def signal_name(number: int) -> str:
    """Return how people know a signal: `SIGKILL`, or its number."""
    from signal import Signals  # noqa: PLC0415 - takes long, see `agent.bare`

    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"
