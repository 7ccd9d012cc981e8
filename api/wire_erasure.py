"""What travels over HTTP about bodies that go: erasure by hand, and retention."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

Body: TypeAlias = Literal["output", "messages", "configuration"]


class EraseBodies(Struct, forbid_unknown_fields=True, kw_only=True):
    """What to erase of an execution that has ended, and why, in a word.

    `output` is all of stdout and stderr, `messages` are the sentences that agents gave with its
    endings, `configuration` is job name, command, environment and the like. A configuration is one
    body for all executions that have the same: only with `shared` it is erased if there are others.
    """

    bodies: Annotated[tuple[Body, ...], Meta(min_length=1, max_length=3)] = ("output",)
    reason: Literal["requested", "secret", "personal_data"] = "requested"
    shared: bool = False


class EraseJobTexts(Struct, forbid_unknown_fields=True, kw_only=True):
    """Why texts that a job had are to go, in a word.

    Its executions name the same configurations: only with `shared` they go if there are some.
    """

    reason: Literal["requested", "secret", "personal_data"] = "requested"
    shared: bool = False


class ErasedJobTexts(Struct):
    """Of which job how many texts went: configurations, and schedules with webhooks."""

    id: str
    erased: int


class RetainedClass(Struct):
    """Executions that ended one way: what is kept of their output, and what retention would take.

    Without `days` they are kept however old they are, without `bytes_max` however much they are.
    """

    days: float | None
    bytes_max: int | None
    kept_executions: int
    kept_bytes: int
    due_executions: int
    due_bytes: int


class Retention(Struct):
    """How long output is kept, and what is due to go by now.

    `success` are executions that succeeded, `failure` all others that have ended.
    """

    success: RetainedClass
    failure: RetainedClass
