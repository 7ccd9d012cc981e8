"""Configurations: what is run, as one body that all executions with the same one share."""

import hashlib
from typing import Final

import msgspec
from msgspec import Struct, field

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


_encoder: Final = msgspec.json.Encoder(order="deterministic")
_decoder: Final = msgspec.json.Decoder(Job)

ERASED: Final = Job(job_id="", job_name="", command="", timeout_seconds=None)


def seal(job: Job, keys: Keys) -> tuple[Configuration, BodyDigest]:
    """Return `job` as it is stored, its secrets encrypted, and what events say of it."""
    hidden = {name: keys.encrypt(value) for name, value in job.secrets.items()}
    body = _encoder.encode(msgspec.structs.replace(job, secrets=hidden))
    salt = keys.salt(body)
    digest = hashlib.sha256(salt + body).hexdigest()
    return Configuration(digest, salt, body), BodyDigest(len(body), digest)


def shown(body: bytes | None) -> Job:
    """Return a stored job for people to look at: the values of its secrets are left out."""
    if body is None:
        return ERASED
    job = _decoder.decode(body)
    return msgspec.structs.replace(job, secrets=dict.fromkeys(job.secrets, ""))


def opened(body: bytes, keys: Keys) -> Job:
    """Return a stored job for the agent that runs it, with its secrets. Raises `WrongKey`."""
    job = _decoder.decode(body)
    plain = {name: keys.decrypt(value) for name, value in job.secrets.items()}
    return msgspec.structs.replace(job, secrets=plain)
