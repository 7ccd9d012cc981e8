"""From nothing to a server that answers: what takes long at a start happens side by side."""

import importlib
import threading

from api import bootstrap
from api.settings import Settings


def serve(
    settings: Settings,
    *,
    with_agent: bool = False,
    drain_seconds: int = 0,
    sign_in_link: bool = False,
) -> int:
    """Serve until SIGTERM or SIGINT, then finish what was accepted; return the exit code.

    The local agent's commands may go on for `drain_seconds` before that. With `sign_in_link` a link
    that signs in a browser, once, is said to who started it.
    """
    # Half of a start is Python reading the HTTP framework, and nearly all of the rest is PostgreSQL
    # starting. Whoever needs what is being read waits for the thread that reads it.
    loading = threading.Thread(target=importlib.import_module, args=("api.server",), daemon=True)
    loading.start()
    with bootstrap.owned(settings) as postgres:
        prepared = bootstrap.prepare(settings, postgres)
        loading.join()
        from api import server  # noqa: PLC0415 - see above

        return server.serve(
            settings,
            prepared,
            postgres,
            with_agent=with_agent,
            drain_seconds=drain_seconds,
            sign_in_link=sign_in_link,
        )
