"""One real server for the contract tests of a run."""

from pathlib import Path

import pytest

from tests.support.calls import Api


@pytest.fixture(scope="session")
def api() -> Api:
    """TEMPORARY."""
    return Api(Path("/tmp/hb.out").read_text().split()[-1], Path("/tmp/hb-dev/admin-token").read_text().strip())
