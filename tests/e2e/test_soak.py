"""Many claimers, and a server that is killed under load: small here, large in `make soak`.

Every run says its seed; SOAK_SEED repeats the choices of one (what meets when is up to the clock).
"""

import http.client
import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from tests.support import invariants
from tests.support.calls import REPORTS, Held, Reply, eventually, execution_id, fresh
from tests.support.server import ServerProcess, running_server
from tests.support.tokens import owner_conninfo

SECRET: Final = "correct horse battery staple"
_AWAY: Final = (OSError, http.client.HTTPException)
_SECONDS: Final = 60.0

soak = pytest.mark.soak


def _dice(seed: float) -> random.Random:
    return random.Random(seed)  # noqa: S311 - a test's choices


class Claims:
    """Who got which execution, as the claimers themselves saw it."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._lock = threading.Lock()
        self.taken: Counter[str] = Counter()
        self.wrong: list[str] = []

    @property
    def all_taken(self) -> bool:
        """True when there is nothing left to claim."""
        with self._lock:
            return len(self.taken) >= self._expected

    def note(self, agent_id: str, held: Held, again: Held | None) -> None:
        """Remember a claim, and what the same Claim-Id was answered when it was sent again."""
        pin = held.execution["pinned_agent_id"]
        with self._lock:
            self.taken[held.id] += 1
            if pin not in (None, agent_id):
                self.wrong.append(f"{agent_id} got {held.id}, which is pinned to {pin}")
            if again is not None and (again.id, again.lease["token"]) != (
                held.id,
                held.lease["token"],
            ):
                self.wrong.append(f"one Claim-Id gave {held.id}, then {again.id}")


def _claimer(server: ServerProcess, agent_id: str, claims: Claims, chance: random.Random) -> None:
    api = server.api
    while not claims.all_taken:
        headers = {"Claim-Id": execution_id()}
        held = api.claim(agent_id, wait_seconds=0.2, headers=headers)
        if held is None:
            continue
        # Some answers are lost on the way: the agent asks again, and must get the same.
        again = api.claim(agent_id, headers=headers) if chance.random() < 0.2 else None
        claims.note(agent_id, held, again)
        held.complete(**REPORTS[chance.choice(list(REPORTS))]).ok()


def _many_claimers(claimers: int, executions: int, chance: random.Random) -> None:
    with running_server() as server, ThreadPoolExecutor(claimers + 2) as threads:
        claims = Claims(executions)
        agents = [f"host-{number}" for number in range(claimers)]

        def create(count: int, own: random.Random) -> None:
            for _ in range(count):
                pin = own.choice(agents) if own.random() < 0.2 else None
                server.api.create(pinned_agent_id=pin)

        halves = (executions // 2, executions - executions // 2)
        running = [threads.submit(create, n, _dice(chance.random())) for n in halves]
        running += [
            threads.submit(_claimer, server, agent, claims, _dice(chance.random()))
            for agent in agents
        ]
        for one in running:
            one.result()

        assert claims.wrong == []
        assert set(claims.taken.values()) == {1}
        assert len(claims.taken) == executions
        _check(server)


def _check(server: ServerProcess) -> None:
    invariants.check(owner_conninfo(server), secrets=[SECRET, server.admin_token])


def test_eight_claimers_never_share_an_execution(chance: random.Random) -> None:
    """8 claimers on 80 executions: each is claimed once, by an agent that may run it."""
    _many_claimers(8, 80, chance)


@soak
def test_32_claimers_never_share_an_execution(chance: random.Random) -> None:
    """32 claimers on 2,000 executions: each is claimed once, by an agent that may run it."""
    _many_claimers(32, 2000, chance)


class Load:
    """Clients that create, run and finish executions without end, and note what was acknowledged.

    A client that gets no answer asks again with the same key, as the contract tells it to.
    """

    def __init__(self, server: ServerProcess, chance: random.Random) -> None:
        self._server = server
        self._chance = chance
        self._stop = threading.Event()
        self._moved = threading.Condition()
        self.acknowledged: dict[str, str] = {}
        self.histories: dict[str, list[dict[str, Any]]] = {}
        self.count = 0
        self.repeated = 0

    def run(self) -> None:
        """Work until told to stop."""
        while not self._stop.is_set():
            self._one()

    def stop(self) -> None:
        """Let every client finish what it is at."""
        self._stop.set()

    def wait_for(self, count: int) -> None:
        """Wait until so many more commands were acknowledged."""
        with self._moved:
            goal = self.count + count
            assert self._moved.wait_for(lambda: self.count >= goal, _SECONDS), "the load stands"

    def _one(self) -> None:
        with self._moved:
            ending = self._chance.choice(["success", "failed", "timeout"])
            claimed = self._chance.random() < 0.7
            retried = self._chance.random() < 0.3
        one = execution_id()
        body: dict[str, Any] = {
            "job_name": fresh("job"),
            "command": "true",
            "id": one,
            "environment": {"PASSWORD": SECRET},
            "secrets": ["PASSWORD"],
        }
        if claimed:
            body["claim"] = {"agent_id": "host-1"}
        created = self._keep_asking("", body, key=fresh("key")).json()
        self._note(one, "running" if claimed else "pending")
        if not claimed:
            return
        held = Held(self._server.api, created)
        report = REPORTS[ending]
        self._keep_asking(f"/{one}/complete", report, headers=held.headers)
        self._note(one, ending)
        if retried and ending != "success":
            again = self._keep_asking(f"/{one}/retry", key=fresh("key")).json()
            self._note(again["id"], "pending")
        history = self._keep(lambda: self._server.api.get(f"/{one}/events")).json()["data"]
        with self._moved:
            self.histories[one] = history

    def _keep_asking(
        self, path: str, body: Any = ..., *, key: str | None = None, headers: Any = ()
    ) -> Reply:
        sent = dict(headers) | ({"Idempotency-Key": key} if key else {})
        return self._keep(lambda: self._server.api.post(path, body, headers=sent))

    def _keep(self, ask: Callable[[], Reply]) -> Reply:
        """Ask until there is an answer; an outage is none."""

        def look() -> Reply | None:
            try:
                reply = ask()
            except _AWAY:
                reply = None
            if reply is None or reply.status == 503:
                with self._moved:
                    self.repeated += 1
                return None
            return reply

        found = eventually(look, "an answer", _SECONDS)
        assert found is not None
        return found.ok(200, 201)

    def _note(self, one: str, status: str) -> None:
        with self._moved:
            self.acknowledged[one] = status
            self.count += 1
            self._moved.notify_all()


def _kill_under_load(kills: int, clients: int, chance: random.Random) -> None:
    with running_server(on_disk=True) as server, ThreadPoolExecutor(clients) as threads:
        load = Load(server, chance)
        running = [threads.submit(load.run) for _ in range(clients)]
        try:
            for _ in range(kills):
                load.wait_for(chance.randrange(10, 60))
                server.kill()
                server.start()
            load.wait_for(20)
        finally:
            load.stop()
        for client in running:
            client.result()

        assert load.repeated >= kills, "no request met an outage: the test shows nothing"
        found = {row["id"]: row["status"] for row in server.api.all_pages()}
        assert {one: found.get(one) for one in load.acknowledged} == load.acknowledged
        assert set(found) == set(load.acknowledged)
        for one, history in load.histories.items():
            assert server.api.events(one)[: len(history)] == history
        _check(server)


def test_nothing_acknowledged_is_lost_in_two_crashes(chance: random.Random) -> None:
    """Kill -9 under load, fsync on, twice: all that was acknowledged is there, and nothing else."""
    _kill_under_load(2, 4, chance)


@soak
def test_nothing_acknowledged_is_lost_in_twenty_crashes(chance: random.Random) -> None:
    """Kill -9 under load, fsync on, 20 times: all that was acknowledged is there, nothing else."""
    _kill_under_load(20, 8, chance)
