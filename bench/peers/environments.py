"""Peers as processes: each in its own virtual environment, told what to do over a pipe."""

import json
import os
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from psycopg.conninfo import conninfo_to_dict

ROOT: Final = Path(__file__).parents[2]
_ENVIRONMENTS: Final = ROOT / ".venv" / "peers"
_LATE_SECONDS: Final = 120  # a turn that takes so much longer than asked for is ended


def program(peer: str, name: str = "python") -> Path:
    """Return a program of a peer's environment.

    Raises:
        FileNotFoundError: the environment was not made.
    """
    path = _ENVIRONMENTS / peer / "bin" / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: `make bench-peers` installs the peers")
    return path


def version_of(peer: str) -> str:
    """Return the name and version of a peer, as its environment has it."""
    told = f"from importlib.metadata import version; print(version({peer!r}))"
    found = subprocess.run(
        [program(peer), "-c", told], check=True, capture_output=True, text=True, timeout=60
    )
    return f"{peer} {found.stdout.strip()}"


def postgres_for_prefect() -> Path | None:
    """Return PostgreSQL programs that carry pg_trgm, which Prefect needs; None if there are none.

    The embedded wheel has no contrib modules; Debian's packages do (`apt install postgresql`).
    """
    found = Path("/usr/share/postgresql").glob("*/extension/pg_trgm.control")
    versions = sorted((int(one.parts[-3]) for one in found), reverse=True)
    folders = (Path(f"/usr/lib/postgresql/{version}/bin") for version in versions)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


class Queue:
    """A job queue's process, `bench.peers.PEER_lives`."""

    def __init__(self, peer: str, conninfo: str) -> None:
        info = conninfo_to_dict(conninfo)
        where = {f"PG{name.upper()}": str(info[name]) for name in ("host", "user", "password")}
        where["PGDATABASE"] = str(info["dbname"])
        where["PGPORT"] = str(info.get("port", 5432))
        self._peer = peer
        self._process = subprocess.Popen(
            [program(peer), "-m", f"bench.peers.{peer}_lives"],
            cwd=ROOT,
            env={**os.environ, **where},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer(_LATE_SECONDS)

    def run(self, seconds: float, batch: int) -> int:
        """Run a turn in which jobs are put in so many at once; return how many were finished."""
        if self._process.stdin is None:
            raise RuntimeError(f"{self._peer} has no standard input")
        self._process.stdin.write(json.dumps({"seconds": seconds, "batch": batch}) + "\n")
        self._process.stdin.flush()
        answer: Mapping[str, int] = json.loads(self._answer(seconds + _LATE_SECONDS))
        return answer["done"]

    def _answer(self, seconds: float) -> str:
        late = threading.Timer(seconds, self._process.kill)
        late.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout else ""
        finally:
            late.cancel()
        if not line:
            raise RuntimeError(f"{self._peer} ended without an answer")
        return line

    def close(self) -> None:
        """End the process."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
