"""Webhooks: whom to tell, of what; and what was told."""

from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec
from litestar import Request, delete, get, post
from litestar.types import ASGIApp

from api import answers, parameters, wire
from api.delivering import DELIVERY, EVENT
from api.job_making import check_address
from api.ledger import Ledger, of
from api.notifying import Subject
from api.problems import Problem
from api.routes.executions import Nothing
from api.wire_reactions import (
    Attempt,
    CreateWebhook,
    Delivery,
    DeliveryList,
    NewWebhook,
    Webhook,
    WebhookList,
)
from domain import ids
from store import deliveries, webhooks

PATH: Final = "/v1/webhooks"
_ONE: Final = PATH + "/{name:str}"
_WEBHOOK: Final = "whk"
_ATTEMPT: Final = Attempt.__struct_fields__

Req = Request[Any, Any, Any]


@get(PATH)
async def list_webhooks(request: Req) -> ASGIApp:
    """List all webhooks by name."""
    ledger = await _admitted(request)
    async with ledger.pool.connection() as connection:
        found = await webhooks.everyone(connection, ledger.keys)
    return answers.json(WebhookList([_shown(one) for one in found]))


@post(PATH)
async def create_webhook(request: Req) -> ASGIApp:
    """Make a webhook; the answer holds its secret, this one time."""
    ledger = await _admitted(request)
    asked = await parameters.body(request, CreateWebhook)
    name = parameters.name("name", asked.name)
    check_address("url", asked.url)
    tags = sorted({parameters.name("tags", tag) for tag in asked.tags})
    events = sorted(set(asked.events))
    async with ledger.pool.connection() as connection:
        secret = await webhooks.create(
            connection, ledger.keys, name, asked.url, events=events, tags=tags
        )
        made = await webhooks.named(connection, ledger.keys, name)
    if secret is None or made is None:
        raise Problem(409, "conflict", f"There is a webhook {name} already; choose another name.")
    shown = NewWebhook(_shown(made), secret)
    return answers.json(shown, 201, {"Location": f"{PATH}/{name}"})


@get(_ONE)
async def get_webhook(request: Req) -> ASGIApp:
    """Return one webhook."""
    ledger = await _admitted(request)
    return answers.json(_shown(await _webhook(ledger, request)))


@delete(_ONE, status_code=200)  # litestar lets a 204 return nothing; ours is one nevertheless
async def delete_webhook(request: Req) -> ASGIApp:
    """Delete a webhook, with what was and is to be told to it."""
    ledger = await _admitted(request)
    async with ledger.pool.connection() as connection:
        if not await webhooks.delete(connection, _name(request)):
            raise _unknown()
    return answers.empty()


@post(_ONE + "/secret")
async def renew_secret(request: Req) -> ASGIApp:
    """Give a webhook another secret; the answer holds it, this one time."""
    ledger = await _admitted(request)
    await parameters.body(request, Nothing)
    async with ledger.pool.connection() as connection:
        secret = await webhooks.renew_secret(connection, ledger.keys, _name(request))
    if secret is None:
        raise _unknown()
    return answers.json(NewWebhook(_shown(await _webhook(ledger, request)), secret))


@post(_ONE + "/test")
async def test_webhook(request: Req) -> ASGIApp:
    """Send a message that says nothing but that it is a test."""
    ledger = await _admitted(request)
    await parameters.body(request, Nothing)
    webhook = await _webhook(ledger, request)
    subject = msgspec.json.encode(Subject()).decode()
    async with ledger.pool.connection() as connection:
        delivery_id = await deliveries.note(connection, webhook.id, uuid4(), "test", subject)
        # A test is to show what happens now.
        await deliveries.redeliver(connection, webhook.id, delivery_id)
        found = await deliveries.of_webhook(connection, webhook.id)
    made = next(one for one in found if one.id == delivery_id)
    return answers.json(_delivery(made), 202)


@get(_ONE + "/deliveries")
async def list_deliveries(request: Req) -> ASGIApp:
    """List the newest messages to a webhook with every attempt, newest first."""
    ledger = await _admitted(request)
    webhook = await _webhook(ledger, request)
    async with ledger.pool.connection() as connection:
        found = await deliveries.of_webhook(connection, webhook.id)
    return answers.json(DeliveryList([_delivery(one) for one in found]))


@post(_ONE + "/deliveries/{delivery_id:str}/redeliver")
async def redeliver(request: Req) -> ASGIApp:
    """Send a message again, at once: also one that was delivered or given up."""
    ledger = await _admitted(request)
    await parameters.body(request, Nothing)
    webhook = await _webhook(ledger, request)
    delivery_id = ids.from_text(DELIVERY, request.scope["path_params"]["delivery_id"])
    async with ledger.pool.connection() as connection:
        if delivery_id is None or not await deliveries.redeliver(
            connection, webhook.id, delivery_id
        ):
            raise Problem(404, "resource_not_found", "There is no such delivery to this webhook.")
    return answers.empty(202)


# ------------------------------------------------------------------------------------------ steps


async def _admitted(request: Req) -> Ledger:
    ledger = of(request)
    await ledger.authenticator.require(request, "admin")
    parameters.query(request, ())
    return ledger


def _name(request: Req) -> str:
    name: str = request.scope["path_params"]["name"]
    if "\0" in name:
        raise _unknown()
    return name


def _unknown() -> Problem:
    return Problem(404, "resource_not_found", "There is no webhook of this name.")


async def _webhook(ledger: Ledger, request: Req) -> webhooks.Webhook:
    async with ledger.pool.connection() as connection:
        found = await webhooks.named(connection, ledger.keys, _name(request))
    if found is None:
        raise _unknown()
    return found


def _shown(one: webhooks.Webhook) -> Webhook:
    parts = urlsplit(one.url)
    rest = "/…" if parts.path.strip("/") or parts.query or parts.fragment else ""
    return Webhook(
        id=ids.to_text(_WEBHOOK, one.id),
        name=one.name,
        url=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{rest}",
        events=one.events,
        tags=one.tags,
        created_at=wire.timestamp(one.created_at),
        failures=one.failures,
        resume_at=wire.optional_timestamp(one.resume_at),
        pending=one.pending,
    )


def _delivery(one: deliveries.Delivery) -> Delivery:
    return Delivery(
        id=ids.to_text(DELIVERY, one.id),
        event_id=ids.to_text(EVENT, one.event_id),
        event=one.event,
        state=one.state,  # type: ignore[arg-type]  # as the table allows
        created_at=wire.timestamp(one.created_at),
        due_at=wire.timestamp(one.due_at),
        attempts=[
            Attempt(number, wire.timestamp(parameters.moment("at", at)), *rest)
            for number, at, *rest in one.attempts
        ],
    )


HANDLERS: Final = (
    list_webhooks,
    create_webhook,
    get_webhook,
    delete_webhook,
    renew_secret,
    test_webhook,
    list_deliveries,
    redeliver,
)
