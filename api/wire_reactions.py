"""What travels about retries to come, webhooks, and what was told to them."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from api.wire import ExecutionId, Labels, Name, Timestamp
from api.wire_jobs import Webhook as Address

EventName: TypeAlias = Literal["failure", "success", "recovery", "missed"]


class PlannedRetry(Struct):
    """A failed execution that is retried by itself at `retry_at`, as its attempt `attempt`.

    `is_late` says that this time is past: the budget has not let it come yet, or is about to.
    """

    execution_id: ExecutionId
    job_id: str
    attempt: int
    retry_at: Timestamp
    is_late: bool


class PlannedRetries(Struct):
    """The next retries, at most 1,000."""

    data: list[PlannedRetry]


class CreateWebhook(Struct, forbid_unknown_fields=True):
    """Whom to tell, of what.

    With `tags` it hears of jobs that have one of them, without of all jobs. Without `events` it
    hears only of jobs whose `notification_config` names its address.
    """

    name: Name
    url: Address
    events: Annotated[tuple[EventName, ...], Meta(max_length=4)] = ("failure", "recovery", "missed")
    tags: Labels = ()


class Webhook(Struct):
    """One webhook. Of its address nothing is shown that follows the host.

    `failures` counts the failed attempts since the last that went well; until `resume_at` there is
    none.
    """

    id: str
    name: str
    url: str
    events: list[str]
    tags: list[str]
    created_at: Timestamp
    failures: int
    resume_at: Timestamp | None
    pending: int


class NewWebhook(Struct):
    """A webhook, and the secret that signs what is sent to it: shown only now."""

    webhook: Webhook
    secret: str


class WebhookList(Struct):
    """All webhooks, by name."""

    data: list[Webhook]


class Attempt(Struct):
    """One attempt to deliver: what was answered, or why there is no answer."""

    number: int
    at: Timestamp
    duration_ms: int
    status_code: int | None
    error: str | None
    answer: str | None


class Delivery(Struct):
    """One message to one webhook. `due_at` is when it is tried next, if it is pending."""

    id: str
    event_id: str
    event: str
    state: Literal["pending", "delivered", "given_up"]
    created_at: Timestamp
    due_at: Timestamp
    attempts: list[Attempt]


class DeliveryList(Struct):
    """The newest deliveries of a webhook, newest first."""

    data: list[Delivery]
