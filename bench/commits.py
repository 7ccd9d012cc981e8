"""PostgreSQL's own measure: pgbench, durable commits of one small row each."""

import os
import re
import subprocess
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bench.measure import Contender
from store.embedded import find_binaries

_SCRIPT: Final = "INSERT INTO commits VALUES (1);\n"
_DONE: Final = re.compile(r"transactions actually processed: ([0-9]+)")


def pgbench(conninfo: str, clients: int) -> Contender:
    """Return a contender that counts commits, in a table of its own."""
    info = conninfo_to_dict(conninfo)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("CREATE TABLE commits (n integer)")
    where = {f"PG{name.upper()}": str(info[name]) for name in ("host", "user", "password")}
    where["PGPORT"] = str(info.get("port", 5432))
    words = [str(find_binaries(None) / "pgbench"), "--no-vacuum", "--protocol=prepared"]

    def commits(seconds: float) -> int:
        whole = max(1, round(seconds))
        found = subprocess.run(
            [
                *words,
                "--file=-",
                f"--client={clients}",
                "--jobs=1",
                f"--time={whole}",
                str(info["dbname"]),
            ],
            check=False,
            env={**os.environ, **where},
            input=_SCRIPT,
            capture_output=True,
            text=True,
            timeout=whole + 60,
        )
        done = _DONE.search(found.stdout)
        if found.returncode or done is None:
            raise RuntimeError(f"pgbench failed: {found.stderr[-300:]}")
        return int(done.group(1))

    return commits
