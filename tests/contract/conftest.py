"""One real server for the contract tests of a run."""

from collections.abc import Iterator

import pytest

from tests.support import invariants
from tests.support.calls import Api
from tests.support.server import ServerProcess, running_server
from tests.support.tokens import make_token, owner_conninfo

# Held executions get no heartbeats here, and must not be given up between two looks at them.
# Webhooks reach a receiver on this machine, and only at this one address.
PATIENT = {
    "CRONLEDGER_LEASE_SECONDS": "3600",
    "CRONLEDGER_WEBHOOK_NETWORKS": "127.0.0.1/32",
}


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    """A server; when all has been asked of it, every invariant must hold."""
    with running_server(settings=PATIENT) as started:
        yield started
        invariants.check(owner_conninfo(started))
        assert "Traceback" not in started.stderr


@pytest.fixture(scope="session")
def api(server: ServerProcess) -> Api:
    """A client that may do everything."""
    return server.api


@pytest.fixture(scope="session")
def operator(server: ServerProcess) -> Api:
    """Another client, whose token is another one."""
    return server.api.with_token(make_token(server, "read", "operate")[1])
