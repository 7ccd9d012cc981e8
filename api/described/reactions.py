"""The operations on what the server does by itself: retries to come, and notifications."""

from typing import Any, Final

from api import wire_reactions
from api.described.operation import Operation, parameter
from api.routes import retries
from api.routes.executions import Nothing
from api.routes.webhooks import PATH

ONE: Final = PATH + "/{name}"
_NAME: Final = parameter("name", "path", {"type": "string"}, "The name of a webhook")
_DELIVERY: Final = parameter("delivery_id", "path", {"type": "string"}, "The id of a delivery")
_OF_WEBHOOK: Final = ("getWebhook", "testWebhook", "renewSecret", "listDeliveries", "deleteWebhook")
_ACTED: Final = (400, 403, 404, 413, 415)


def _links(names: tuple[str, ...], pointer: str) -> dict[str, Any]:
    parameters = {"path.name": f"$response.body#{pointer}"}
    return {name: {"operationId": name, "parameters": parameters} for name in names}


OPERATIONS: Final = (
    Operation(
        *("get", retries.PATH, "listPlannedRetries", "Automatic retries to come", "jobs"),
        answers={200: ("The next ones", wire_reactions.PlannedRetries)},
        errors=(400,),
    ),
    Operation(
        *("get", PATH, "listWebhooks", "List webhooks", "webhooks"),
        answers={200: ("All of them, by name", wire_reactions.WebhookList)},
        scope="admin",
        errors=(400,),
    ),
    Operation(
        *("post", PATH, "createWebhook", "Make a webhook", "webhooks"),
        answers={201: ("The webhook and its secret", wire_reactions.NewWebhook)},
        scope="admin",
        body=wire_reactions.CreateWebhook,
        errors=(400, 403, 409, 413, 415),
        links={201: _links(_OF_WEBHOOK, "/webhook/name")},
    ),
    Operation(
        *("get", ONE, "getWebhook", "Get one", "webhooks"),
        answers={200: ("The webhook", wire_reactions.Webhook)},
        scope="admin",
        parameters=(_NAME,),
        errors=(400, 404),
    ),
    Operation(
        *("delete", ONE, "deleteWebhook", "Delete it and what was told to it", "webhooks"),
        answers={204: ("It is deleted", None)},
        scope="admin",
        parameters=(_NAME,),
        errors=(400, 404),
    ),
    Operation(
        *("post", ONE + "/secret", "renewSecret", "Give it another secret", "webhooks"),
        answers={200: ("The webhook and its new secret", wire_reactions.NewWebhook)},
        scope="admin",
        parameters=(_NAME,),
        body=Nothing,
        body_required=False,
        errors=_ACTED,
    ),
    Operation(
        *("post", ONE + "/test", "testWebhook", "Send it a test message", "webhooks"),
        answers={202: ("The message, which is on its way", wire_reactions.Delivery)},
        scope="admin",
        parameters=(_NAME,),
        body=Nothing,
        body_required=False,
        errors=_ACTED,
    ),
    Operation(
        *("get", ONE + "/deliveries", "listDeliveries", "What was told to it", "webhooks"),
        answers={200: ("The newest 100, with every attempt", wire_reactions.DeliveryList)},
        scope="admin",
        parameters=(_NAME,),
        errors=(400, 404),
    ),
    Operation(
        "post",
        ONE + "/deliveries/{delivery_id}/redeliver",
        "redeliver",
        "Send a message again, at once",
        "webhooks",
        answers={202: ("It is due", None)},
        scope="admin",
        parameters=(_NAME, _DELIVERY),
        body=Nothing,
        body_required=False,
        errors=_ACTED,
    ),
)
