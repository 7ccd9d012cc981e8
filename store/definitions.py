"""What people wrote of a job beside what it runs: one body that can be erased."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection

from domain.bodies import BodyDigest
from store import configurations
from store.keys import Keys
from store.work import Configuration


class Targets(Struct, frozen=True, omit_defaults=True):
    """Addresses of webhooks, by what they hear of.

    They often hold a secret, so that they are encrypted where they are stored.
    """

    on_failure: tuple[str, ...] = ()
    on_success: tuple[str, ...] = ()
    on_recovery: tuple[str, ...] = ()
    on_missed: tuple[str, ...] = ()


class Definition(Struct, frozen=True, omit_defaults=True):
    """The schedule in the words in which it was written, and whom to notify.

    The job's id stands in it so that no two jobs share one: to erase one's leaves the other's.
    """

    job_id: str
    schedule: str | None = None
    notify: Targets = Targets()


_encoder: Final = msgspec.json.Encoder(order="deterministic")
_decoder: Final = msgspec.json.Decoder(Definition)


def seal(definition: Definition, keys: Keys) -> tuple[Configuration, BodyDigest]:
    """Return `definition` as it is stored, and what events say of it."""
    hidden = _each(definition, keys.encrypt)
    return configurations.sealed(_encoder.encode(hidden), keys)


def opened(body: bytes, keys: Keys) -> Definition:
    """Return a stored definition. Raises `WrongKey`."""
    return _each(_decoder.decode(body), keys.decrypt)


async def bodies(connection: AsyncConnection[Any], digests: Mapping[str, str]) -> dict[str, bytes]:
    """Return the stored definitions of several jobs by job id; erased ones are left out."""
    if not digests:
        return {}
    jobs = {bytes.fromhex(digest): job_id for job_id, digest in digests.items()}
    found = await connection.execute(
        "SELECT digest, body FROM store.configurations WHERE digest = ANY(%s::bytea[])",
        [list(jobs)],
    )
    return {jobs[bytes(digest)]: bytes(body) for digest, body in await found.fetchall()}


def _each(definition: Definition, change: Callable[[str], str]) -> Definition:
    targets = {
        name: tuple(change(address) for address in getattr(definition.notify, name))
        for name in Targets.__struct_fields__
    }
    return msgspec.structs.replace(definition, notify=Targets(**targets))
