"""One pass over a whole log, in a process of its own: what it takes is seen from outside.

Run: python -m bench.passes read|rebuild|verify, with where the database is on standard input.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import psycopg
from msgspec import Struct

from projections.read_models import READ_MODELS
from projections.rebuild import rebuild
from projections.verify import verify
from store import mapper

_COPY: Final = """COPY (SELECT stream_id, command_id, version, schema_version, position,
    occurred_at, type, payload FROM ledger.events ORDER BY stream_id, version)
    TO STDOUT (FORMAT BINARY)"""
_TYPES: Final = ["uuid", "uuid", "int4", "int2", "int8", "timestamptz", "text", "bytea"]


class Took(Struct):
    """What a pass took: seconds, and the most memory that one of its processes had, in KiB."""

    seconds: float
    memory: int


def _read(conninfo: str) -> None:
    with (
        psycopg.connect(conninfo) as connection,
        connection.cursor() as cursor,
        cursor.copy(_COPY) as copy,
    ):
        copy.set_types(_TYPES)
        for row in copy.rows():
            mapper.decode(row[6], row[3], row[7])


def _rebuild(conninfo: str) -> None:
    rebuild(conninfo, READ_MODELS, lambda *_: None)


def _verify(conninfo: str) -> None:
    found = verify(conninfo, READ_MODELS, Path("/nonexistent/head"), lambda *_: None).findings
    # Only the log was seeded: beside it neither queue nor leases stand. The rows were rebuilt.
    if found.counts.keys() - {"queue", "lease"}:
        raise RuntimeError(f"verify found {found.counts}")


_PASSES: Final[dict[str, Callable[[str], None]]] = {
    "read": _read,
    "rebuild": _rebuild,
    "verify": _verify,
}


def once(name: str, conninfo: str) -> Took:
    """Do one pass in a fresh process."""
    words = [sys.executable, "-m", "bench.passes", name]
    done = subprocess.run(words, input=conninfo.encode(), stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=Took)


def main() -> None:
    """Do the pass that was asked for, and print what it took."""
    do, conninfo = _PASSES[sys.argv[1]], sys.stdin.read()
    started = time.perf_counter()
    do(conninfo)
    seconds = time.perf_counter() - started
    most = max(_most_memory(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    print(json.dumps({"seconds": seconds, "memory": most}))


def _most_memory() -> int:
    """Return the most memory this process had. Its own ru_maxrss is that of who started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    main()
