"""Stopped servers, made quickly."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.embedded import EmbeddedServer
from tests.support.embedded import (
    open_folder,
)


@pytest.fixture(scope="module")
def made_home() -> Iterator[Path]:
    """A home with a stopped server, to be copied, since initdb takes most of a second."""
    with open_folder() as path:
        with EmbeddedServer(path / "home", durable=False):
            pass
        yield path / "home"


@pytest.fixture
def top() -> Iterator[Path]:
    """An empty folder to make homes in."""
    with open_folder() as path:
        yield path


@pytest.fixture
def server(top: Path, made_home: Path) -> Iterator[EmbeddedServer]:
    """A stopped server of this test's own; its home is `home` in the folder `top`."""
    subprocess.run(["cp", "-a", made_home, top / "home"], check=True)
    server = EmbeddedServer(top / "home", durable=False)
    yield server
    server.stop()
