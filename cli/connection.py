"""How client commands reach the server, and what their failures mean to a shell."""

from __future__ import annotations

import sys

from agent.client import ANSWER_SECONDS, Answer, Client, InvalidUrlError, Problem, Unreachable
from cli.home import ADMIN_TOKEN, find_token, home_folder, server_url
from cli.usage import NOT_AUTHORISED_EXIT, REFUSED_EXIT, UNREACHABLE_EXIT, UsageError

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from collections.abc import Callable

_NOT_AUTHORISED = frozenset({401, 403})
PEOPLES_SECONDS = 10.0  # nobody sits longer before a command that says nothing
EXECUTIONS = "/v1/cron-executions"
JOBS = "/v1/cron-jobs"


class NoTokenError(Exception):
    """There is no access token to present; the message says where one is looked for."""


def open_client(token_file: str = ADMIN_TOKEN, *, answer_seconds: float = ANSWER_SECONDS) -> Client:
    """Return a client for the configured server, with its patience for each answer.

    Raises:
        NoTokenError: No token is configured, and the home holds none that we may read.
        UsageError: The configured address is none.
    """
    home = home_folder()
    token = find_token(home, token_file)
    if token is None:
        raise NoTokenError(
            f"no access token: set CRONLEDGER_TOKEN, or run as a user who can read "
            f"{home}/{token_file} (set CRONLEDGER_HOME if the server's home is elsewhere)"
        )
    if not (token.isascii() and token.isprintable()):
        raise UsageError("the access token holds characters that no token has: check it")
    try:
        return Client(server_url(home), token, answer_seconds=answer_seconds)
    except InvalidUrlError as error:
        raise UsageError(f"{error} (see CRONLEDGER_URL)") from error


def segment(text: str) -> str:
    """Return an id or a name as a part of a path, whatever a user may have typed.

    Raises `UsageError` for an empty one, as an unset variable of a shell gives: the path without
    it would be another one.
    """
    from urllib.parse import quote  # noqa: PLC0415 - `exec` knows its own id

    if not text:
        raise UsageError("an id is empty: is a variable of the shell unset?")
    return quote(text, safe="")


def execution_path(execution_id: str, rest: str = "") -> str:
    """Return the path of an execution. Raises `UsageError`."""
    return f"{EXECUTIONS}/{segment(execution_id)}{rest}"


def history_path(any_id: str) -> str:
    """Return the path of the history of an execution, or of a job. Raises `UsageError`."""
    # Jobs may have ids of their user's choice, executions have not.
    if any_id.startswith("exec_"):
        return execution_path(any_id, "/events")
    return f"{JOBS}/{segment(any_id)}/events"


def print_json(answer: Answer) -> None:
    """Print the server's JSON as it came, after a look whether it is any."""
    answer.json()
    sys.stdout.flush()
    sys.stdout.buffer.write(answer.body.rstrip() + b"\n")


def with_server(
    work: Callable[[Client], int],
    token_file: str = ADMIN_TOKEN,
    *,
    answer_seconds: float = PEOPLES_SECONDS,
) -> int:
    """Do a client command's work; turn a failure into a sentence and its exit code."""
    try:
        client = open_client(token_file, answer_seconds=answer_seconds)
        try:
            return work(client)
        finally:
            client.close()
    except UnicodeEncodeError as error:
        raise UsageError(f"{error.object!a} is not UTF-8") from error
    except NoTokenError as error:
        return _fail(str(error), NOT_AUTHORISED_EXIT)
    except Unreachable as error:
        sentence = str(error) if str(error).endswith("?") else f"{error}."
        return _fail(
            f"{sentence} Is the server running? Start it with `cronledger serve`, or say where it "
            f"is with CRONLEDGER_URL",
            UNREACHABLE_EXIT,
        )
    except Problem as problem:
        if problem.status in _NOT_AUTHORISED:
            sentence = str(problem).rstrip(".")
            return _fail(
                f"not authorised: {sentence}. Check CRONLEDGER_TOKEN and its scopes",
                NOT_AUTHORISED_EXIT,
            )
        return _fail(str(problem), REFUSED_EXIT)


def _fail(sentence: str, code: int) -> int:
    sys.stdout.flush()
    print(f"cronledger: {sentence}", file=sys.stderr)
    return code
