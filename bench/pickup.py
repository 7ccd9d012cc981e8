"""From create to picked up: how long a waiting agent's claim takes to answer, in durable commits.

One client creates, another waits in a long poll, over loopback against `cronledger serve` as anyone
starts it; from the moment before the create is sent to the moment after the claim is read. Beside
it, in turns: one durable commit of one small row on the same PostgreSQL.

Run: python -m bench.pickup [--rounds 200] [--json FILE]
"""

import argparse
import shutil
import signal
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psycopg

from agent.client import Client, Unreachable
from bench.http import served
from bench.measure import Measure, Ratio, machine, write_result
from store import database
from store.embedded import EmbeddedServer

_PATH = "/v1/cron-executions"
# An agent that has just been given something has to ask again before it waits: so long it may take.
_SETTLE_SECONDS = 0.02


class WaitingAgent:
    """Claims again and again, and says when each claim was answered."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._answered = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.at = 0.0

    def start(self) -> None:
        """Begin to wait for work."""
        self._thread.start()

    def wait(self) -> float:
        """Return when the claim that is waiting was answered."""
        self._answered.acquire()
        return self.at

    def _run(self) -> None:
        while True:
            asked = {"agent_id": "bench", "wait_seconds": 30}
            try:
                answer = self._client.post(f"{_PATH}/claim", asked, answer_seconds=40)
            except Unreachable:  # the server is stopped: it is over
                return
            if answer.body:
                self.at = time.perf_counter()
                self._answered.release()


def _commit(connection: "psycopg.Connection[Any]") -> float:
    began = time.perf_counter()
    connection.execute("INSERT INTO one_row VALUES (1)")
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", type=Path, help="also write the result there")
    args = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="cronledger-bench-"))
    server, url, token = served(home)
    try:
        postgres = EmbeddedServer(home)  # beside the server that owns the home: only its address
        database.create_database(postgres.conninfo(), "commits")
        machine([f"psycopg {psycopg.__version__}"])
        with psycopg.connect(postgres.conninfo("commits"), autocommit=True) as connection:
            connection.execute("CREATE TABLE one_row (n integer)")
            _measure(Client(url, token), connection, args.rounds, args.json)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        shutil.rmtree(home)


def _measure(
    client: Client, connection: "psycopg.Connection[Any]", rounds: int, path: Path | None
) -> None:
    agent = WaitingAgent(client.sibling())
    agent.start()
    pickups, commits = [], []
    for number in range(rounds + 20):
        time.sleep(_SETTLE_SECONDS)
        commit = _commit(connection)
        began = time.perf_counter()
        client.post(_PATH, {"job_name": "bench", "command": "true"})
        picked_up = agent.wait() - began
        if number >= 20:  # the first ones warm up
            commits.append(commit)
            pickups.append(picked_up)
    ratio = statistics.median(pickups) / statistics.median(commits)
    for name, values in (("create to picked up", pickups), ("one durable commit", commits)):
        deciles = statistics.quantiles(values, n=100)
        print(f"{name:<22} p50 {deciles[49] * 1e3:7.2f} ms   p99 {deciles[98] * 1e3:7.2f} ms")
    print(f"ratio of the p50s: {ratio:.1f}\n")
    write_result(
        path,
        name="pickup",
        what="From the moment before a create is sent over HTTP to the moment after the claim of "
        f"an agent that waits in a long poll is read, {rounds} times; before each, one durable "
        "commit of one small row on the same PostgreSQL.",
        measures=[
            Measure("create to picked up", "ms", [one * 1e3 for one in pickups]),
            Measure("one durable commit", "ms", [one * 1e3 for one in commits]),
        ],
        ratios=[
            Ratio(
                "p50 of create to picked up / of one durable commit",
                [ratio],
                goal=5,
                at_least=False,
            )
        ],
        versions=[f"psycopg {psycopg.__version__}"],
    )


if __name__ == "__main__":
    main()
