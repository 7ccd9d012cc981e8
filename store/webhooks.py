"""Webhooks: whom to tell, of what. Addresses and signing secrets are encrypted where they lie."""

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import args_row

from store.keys import Keys

_COLUMNS: Final = (
    "id, name, url, events, tags, created_at, failures, resume_at,"
    " (SELECT count(*) FROM store.deliveries d WHERE d.webhook_id = w.id AND d.state = 'pending')"
)
_LIST: Final = f"SELECT {_COLUMNS} FROM store.webhooks w"  # noqa: S608 - constant
_INSERT: Final = (
    "INSERT INTO store.webhooks (id, name, url, secret, events, tags)"
    " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)


class Webhook(Struct, frozen=True):
    """One webhook; `url` is in clear, `pending` counts what waits for it."""

    id: UUID
    name: str
    url: str
    events: list[str]
    tags: list[str]
    created_at: datetime
    failures: int
    resume_at: datetime | None
    pending: int

    def hears(self, event: str, tags: Iterable[str]) -> bool:
        """Tell whether it is told of `event` of a job with these tags, whatever the job says."""
        return event in self.events and (not self.tags or not set(self.tags).isdisjoint(tags))


def new_secret() -> str:
    """Return a new secret of 256 random bits."""
    return "whsec_" + secrets.token_urlsafe(32)


async def create(
    connection: AsyncConnection[Any],
    keys: Keys,
    name: str,
    url: str,
    *,
    events: Sequence[str],
    tags: Sequence[str],
) -> str | None:
    """Make a webhook and return its secret; None if the name is taken."""
    secret = new_secret()
    row = [uuid4(), name, keys.encrypt(url), keys.encrypt(secret), list(events), list(tags)]
    made = await connection.execute(_INSERT, row)
    return secret if made.rowcount else None


async def of_address(connection: AsyncConnection[Any], keys: Keys, url: str) -> UUID:
    """Return the webhook with this address; one is made if there is none.

    It hears of nothing but the jobs that name it, and is called after its own id.
    """
    sealed = keys.encrypt(url)  # equal addresses are equal text
    found = await connection.execute(
        "SELECT id FROM store.webhooks WHERE url = %s ORDER BY created_at, id LIMIT 1", [sealed]
    )
    if (row := await found.fetchone()) is not None:
        known: UUID = row[0]
        return known
    made = uuid5(NAMESPACE_URL, sealed)
    secret = keys.encrypt(new_secret())
    await connection.execute(_INSERT, [made, f"address-{made.hex[:12]}", sealed, secret, [], []])
    return made


async def everyone(connection: AsyncConnection[Any], keys: Keys) -> list[Webhook]:
    """Return all webhooks by name. Raises `WrongKey`."""
    return await _found(connection, keys, _LIST + " ORDER BY name", [])


async def named(connection: AsyncConnection[Any], keys: Keys, name: str) -> Webhook | None:
    """Return one webhook, None if there is none. Raises `WrongKey`."""
    found = await _found(connection, keys, _LIST + " WHERE name = %s", [name])
    return found[0] if found else None


async def _found(
    connection: AsyncConnection[Any], keys: Keys, statement: str, parameters: list[Any]
) -> list[Webhook]:
    async with connection.cursor(row_factory=args_row(Webhook)) as cursor:
        await cursor.execute(statement.encode(), parameters)
        rows = await cursor.fetchall()
    return [Webhook(*(_opened(row, name, keys) for name in row.__struct_fields__)) for row in rows]


def _opened(row: Webhook, name: str, keys: Keys) -> Any:
    value = getattr(row, name)
    return keys.decrypt(value) if name == "url" else value


async def delete(connection: AsyncConnection[Any], name: str) -> bool:
    """Delete a webhook and what was to be told to it; False if there is none."""
    done = await connection.execute("DELETE FROM store.webhooks WHERE name = %s", [name])
    return done.rowcount == 1


async def renew_secret(connection: AsyncConnection[Any], keys: Keys, name: str) -> str | None:
    """Give a webhook another secret and return it; None if there is none of this name."""
    secret = new_secret()
    done = await connection.execute(
        "UPDATE store.webhooks SET secret = %s WHERE name = %s", [keys.encrypt(secret), name]
    )
    return secret if done.rowcount else None
