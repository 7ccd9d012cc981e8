"""Stopped servers, made quickly."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.embedded import EmbeddedServer
from tests.support.embedded import PROGRAMS, open_folder
from tests.support.postgres import copy_home


@pytest.fixture
def top() -> Iterator[Path]:
    """An empty folder to make homes in."""
    with open_folder() as path:
        yield path


@pytest.fixture
def server(top: Path) -> Iterator[EmbeddedServer]:
    """A stopped server of this test's own; its home is `home` in the folder `top`."""
    copy_home(top / "home")
    server = EmbeddedServer(top / "home", bin_dir=PROGRAMS, durable=False)
    yield server
    server.stop()
