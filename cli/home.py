"""Where the local installation keeps its files, and where commands find server and token."""

from __future__ import annotations

import os

from agent.json_text import loads
from domain.names import agent_id_of

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

DEFAULT_PORT = 8420
ADMIN_TOKEN = "admin-token"  # noqa: S105 - the name of a file
AGENT_TOKEN = "agent-token"  # noqa: S105 - the name of a file
SERVER_FILE = "server.json"
_OF_THE_SYSTEM = "/var/lib/cronledger"


def default_home() -> Path:
    """Return `home_folder` as a path."""
    from pathlib import Path  # noqa: PLC0415 - see above

    return Path(home_folder())


def home_folder() -> str:
    """Return CRONLEDGER_HOME, else the user's data folder, else /var/lib/cronledger.

    The last is for root, and for a user without any folder (containers run under numbers that
    nobody gave one).
    """
    configured = os.environ.get("CRONLEDGER_HOME")
    if configured:
        return os.path.abspath(expanded(configured) or _OF_THE_SYSTEM)  # noqa: PTH100 - see above
    if os.geteuid() == 0:
        return _OF_THE_SYSTEM
    data = os.environ.get("XDG_DATA_HOME")
    if data and data.startswith("/"):  # the XDG text says: ignore a relative path
        return f"{data}/cronledger"
    return expanded("~/.local/share/cronledger") or _OF_THE_SYSTEM


def expanded(path: str) -> str | None:
    """Return a path with `~` replaced; None if nobody knows the user's folder."""
    found = os.path.expanduser(path)  # noqa: PTH111 - see above
    return None if found.startswith("~") else found


def server_url(home: PathLike[str] | str) -> str:
    """Return CRONLEDGER_URL, else what a running server left in the home, else the default."""
    configured = os.environ.get("CRONLEDGER_URL")
    if configured:
        return configured
    default = f"http://127.0.0.1:{os.environ.get('CRONLEDGER_PORT') or DEFAULT_PORT}"
    return running_server_url(home) or default


def running_server_url(home: PathLike[str] | str) -> str | None:
    """Return what a running server left in the home; None if none runs, or is just starting."""
    try:
        with open(f"{os.fspath(home)}/{SERVER_FILE}", "rb") as file:  # noqa: PTH123 - see above
            url = loads(file.read())["url"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return url if isinstance(url, str) else None


def local_agent_id() -> str:
    """Return the name of this machine as an agent id."""
    return agent_id_of(os.uname().nodename)


def find_token(home: PathLike[str] | str, file_name: str) -> str | None:
    """Return CRONLEDGER_TOKEN, else what the named file of the home holds, else None."""
    configured = os.environ.get("CRONLEDGER_TOKEN")
    if configured:
        return configured.strip()
    return stored_token(home, file_name)


def stored_token(home: PathLike[str] | str, file_name: str) -> str | None:
    """Return what the named file of the home holds, else None."""
    try:
        with open(f"{os.fspath(home)}/{file_name}", "rb") as file:  # noqa: PTH123 - see above
            return file.read().decode().strip() or None
    except (OSError, ValueError):
        return None  # not there or not ours to read: the caller says what to do about it
