"""`cronledger agent`: runs pending executions on this machine."""

from __future__ import annotations

import argparse

from cli.arguments import at_least
from cli.home import local_agent_id

DEFAULT_CONCURRENCY = 4


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--agent-id",
        metavar="ID",
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
        type=float,
        default=10.0,
        help="from SIGTERM to SIGKILL when a command must end (default: %(default)s)",
    )
    parser.add_argument(
        "--exit-with-parent",
        action="store_true",
        help="stop when standard input ends, as it does when the process that holds it is gone",
    )


def run(args: argparse.Namespace) -> int:
    """Run the agent until a signal stops it."""
    from agent.loop import Settings  # noqa: PLC0415 - not for --help
    from agent.service import serve  # noqa: PLC0415
    from cli.connection import with_server  # noqa: PLC0415
    from cli.home import AGENT_TOKEN  # noqa: PLC0415

    settings = Settings(
        agent_id=args.agent_id, concurrency=args.concurrency, kill_grace_seconds=args.kill_grace
    )
    return with_server(
        lambda client: serve(settings, client, exit_with_parent=args.exit_with_parent), AGENT_TOKEN
    )
