"""Configurations: what is run, as one body that all executions with the same one share."""

import hashlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct, field
from psycopg_pool import AsyncConnectionPool

from domain.events import BodyDigest
from store.keys import Keys
from store.work import Configuration


class Job(Struct, frozen=True, omit_defaults=True):
    """What an agent runs. Values of `secrets` are kept apart from `environment`."""

    job_id: str
    job_name: str
    command: str | tuple[str, ...]
    timeout_seconds: int | None
    working_dir: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    stop_when_cut_off: bool = False
    expected_schedule: str | None = None
    expected_timezone: str | None = None


_CACHE_BYTES_MAX: Final = 16 * 1024 * 1024
_encoder: Final = msgspec.json.Encoder(order="deterministic")
_decoder: Final = msgspec.json.Decoder(Job)

ERASED: Final = Job(job_id="", job_name="", command="", timeout_seconds=None)


class Configurations:
    """Reads configurations by digest, and remembers those that were made or read last."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool
        self._bodies: dict[str, bytes] = {}
        self._bytes = 0
        self._generation = 0
        self._listening = False

    def trust_cache(self, *, listening: bool) -> None:
        """Remember only while news of erasures by other servers arrive."""
        self._listening = listening
        self._generation += 1
        self.forget()

    def forget(self, digests: Iterable[str] | None = None) -> None:
        """Remember these no more, as they were erased; None for all."""
        for digest in list(self._bodies) if digests is None else digests:
            self._generation += 1
            self._bytes -= len(self._bodies.pop(digest, b""))

    def keep(self, digest: str, body: bytes) -> None:
        """Remember a configuration that is stored."""
        if not self._listening:
            return
        self._bytes += len(body) - len(self._bodies.pop(digest, b""))
        self._bodies[digest] = body
        while self._bytes > _CACHE_BYTES_MAX:
            self._bytes -= len(self._bodies.pop(next(iter(self._bodies))))

    def known(self, digest: str) -> bytes | None:
        """Return a stored configuration if it is remembered."""
        return self._bodies.get(digest)

    async def body(self, digest: str) -> bytes | None:
        """Return a stored configuration, None if it was erased."""
        body = self._bodies.get(digest)
        if body is None:
            generation = self._generation
            async with self._pool.connection() as connection:
                cursor = await connection.execute(
                    "SELECT body FROM store.configurations WHERE digest = %s",
                    [bytes.fromhex(digest)],
                )
                row = await cursor.fetchone()
            if row is None:
                return None
            body = row[0]
            # What was read before an erasure was heard must not be kept after it.
            if generation == self._generation:
                self.keep(digest, body)
        return body


def seal(job: Job, keys: Keys) -> tuple[Configuration, BodyDigest]:
    """Return `job` as it is stored, its secrets encrypted, and what events say of it."""
    hidden = {name: keys.encrypt(value) for name, value in job.secrets.items()}
    return sealed(_encoder.encode(msgspec.structs.replace(job, secrets=hidden)), keys)


def sealed(body: bytes, keys: Keys) -> tuple[Configuration, BodyDigest]:
    """Return a body as it is stored, and what events say of it."""
    salt = keys.salt(body)
    digest = hashlib.sha256(salt + body).hexdigest()
    return Configuration(digest, salt, body), BodyDigest(len(body), digest)


def shown(body: bytes | None) -> Job:
    """Return a stored job for people to look at: the values of its secrets are left out."""
    if body is None:
        return ERASED
    job = _decoder.decode(body)
    if not job.secrets:
        return job
    return msgspec.structs.replace(job, secrets=dict.fromkeys(job.secrets, ""))


def opened(body: bytes, keys: Keys) -> Job:
    """Return a stored job for the agent that runs it, with its secrets. Raises `WrongKey`."""
    job = _decoder.decode(body)
    plain = {name: keys.decrypt(value) for name, value in job.secrets.items()}
    return msgspec.structs.replace(job, secrets=plain)
