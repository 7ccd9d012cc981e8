"""`cronledger agent`: runs pending executions on this machine."""

from __future__ import annotations

import argparse
import os
import pwd

from cli.arguments import add_mask_option, at_least, name, seconds
from cli.home import local_agent_id
from cli.usage import UsageError

DEFAULT_CONCURRENCY = 4


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--agent-id",
        metavar="ID",
        type=name,
        default=local_agent_id(),
        help="the name to run under (default: this host's name, %(default)s)",
    )
    parser.add_argument(
        "--concurrency",
        metavar="N",
        type=at_least(1),
        default=DEFAULT_CONCURRENCY,
        help="how many commands may run at once (default: %(default)s)",
    )
    parser.add_argument(
        "--kill-grace",
        metavar="SECONDS",
        type=seconds,
        default=10.0,
        help="from SIGTERM to SIGKILL when a command must end (default: %(default)s)",
    )
    parser.add_argument(
        "--drain",
        metavar="SECONDS",
        type=at_least(0),
        default=0,
        help="how long commands may go on when the agent is stopped (default: %(default)s)",
    )
    parser.add_argument(
        "--user", metavar="NAME", help="run the commands as this user (only root can)"
    )
    parser.add_argument(
        "--label",
        metavar="NAME",
        action="append",
        default=[],
        type=name,
        help="what this agent has: it also runs executions that ask for it (repeatable)",
    )
    add_mask_option(parser, "all output, beside each execution's secrets")
    parser.add_argument(
        "--exit-with-parent",
        action="store_true",
        help="stop when standard input ends, as it does when the process that holds it is gone",
    )


def run(args: argparse.Namespace) -> int:
    """Run the agent until a signal stops it."""
    from agent.assignment import Settings  # noqa: PLC0415 - not for --help
    from agent.client import ANSWER_SECONDS, Client  # noqa: PLC0415
    from agent.service import serve  # noqa: PLC0415
    from agent.spool import Spool  # noqa: PLC0415
    from cli.connection import with_server  # noqa: PLC0415
    from cli.exec_spool import SPOOL  # noqa: PLC0415
    from cli.home import (  # noqa: PLC0415
        ADMIN_TOKEN,
        AGENT_TOKEN,
        default_home,
        running_server_url,
        stored_token,
    )
    from cli.version import version  # noqa: PLC0415

    home = default_home()
    settings = Settings(
        agent_id=args.agent_id,
        runs=home / "agent" / args.agent_id / "runs",
        concurrency=args.concurrency,
        kill_grace_seconds=args.kill_grace,
        drain_seconds=args.drain,
        user=args.user,
        mask_patterns=tuple(args.mask),
        labels=tuple(args.label),
        version=version(),
    )
    _check_user(args.user)

    def work(client: Client) -> int:
        # What `exec` has left it delivers as `exec` would: to create takes more than to report.
        # The token in the home is for the server of this home, and no other.
        is_at_home = running_server_url(home) == client.url
        token = stored_token(home, ADMIN_TOKEN) if is_at_home else None
        creator = client.sibling() if token is None else Client(client.url, token)
        return serve(
            settings,
            client,
            spool=(Spool(home / SPOOL), creator),
            exit_with_parent=args.exit_with_parent,
        )

    return with_server(work, AGENT_TOKEN, answer_seconds=ANSWER_SECONDS)


def _check_user(user: str | None) -> None:
    if user is None:
        return
    try:
        number = pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise UsageError(f"there is no user {user!r} here") from error
    if os.geteuid() not in {0, number}:
        raise UsageError("only root can run commands as another user")
