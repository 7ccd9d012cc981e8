"""Every refusal of the rules. The docstring is the sentence that the user reads."""

from typing import ClassVar


class Refusal(Exception):
    """The command was refused."""

    code: ClassVar[str] = "conflict"

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        super().__init__(" ".join((self.__doc__ or "").split()).format(**facts))


class ExecutionNotFound(Refusal):
    """There is no execution with this id."""

    code = "resource_not_found"


class ExecutionExists(Refusal):
    """An execution with this id exists already and was created from another request; use a
    new id.
    """


class NotRetryable(Refusal):
    """This execution is {status}; only executions that are failed or timeout can be retried."""


class NotCancelable(Refusal):
    """This execution is {status} already; only executions that are pending or running can be
    canceled.
    """


class NotStartable(Refusal):
    """This execution is {status}; only executions that are pending can be claimed."""


class NeedsNoRetry(Refusal):
    """This execution was retried already, or turned out to need no retry; a person may still
    retry it.
    """


class NotExpirable(Refusal):
    """This execution is {status}; only executions that are pending and have a start deadline can
    end as not started.
    """


class NotRunning(Refusal):
    """This execution is {status}; only executions that are running can be ended."""


class CancelNotRequested(Refusal):
    """Nobody asked to cancel this execution, so it cannot be reported as canceled; it is
    {status}.
    """


class AlreadyFinal(Refusal):
    """This execution is {status} already and another report of its end was recorded before;
    only executions that are running can be completed.
    """


class KeptAsLateOutcome(Refusal):
    """This execution is {status} already; only executions that are running can be completed.
    Your report was kept as its late outcome.
    """

    code = "kept_as_late_outcome"


class NotErasable(Refusal):
    """This execution is {status}; only what has ended can be erased: cancel it, or wait for its
    end.
    """


class ConfigurationAwaited(Refusal):
    """Executions with this configuration are pending; cancel them first, or wait until they have
    begun: without it no agent could run them.
    """


class UnreadableJob(Refusal):
    """The history of its job holds an event that this server cannot read ({reason}), so that nobody
    can tell whether the job runs with this configuration; upgrade the server before erasing it.
    """


class ConfigurationOfJob(Refusal):
    """The job {job_id} runs with this configuration; change its command or environment, or delete
    the job, first.
    """


class ConfigurationShared(Refusal):
    """Other executions have the same configuration ({others}), and would be shown without it and
    could not be retried any more; say `shared` to erase it for all of them.
    """


class ConfigurationErased(Refusal):
    """The configuration of this execution or job was erased, so that nobody knows any more what to
    run; create a new execution, or change the job.
    """


class LeaseLost(Refusal):
    """This lease does not hold this execution, which is {status}; end the command, claim anew."""

    code = "lease_lost"


class JobNotFound(Refusal):
    """There is no job with this id."""

    code = "resource_not_found"


class JobExists(Refusal):
    """There is a job with this id already (its name may be another by now); change that one, or
    give this one another name or an id of its own.
    """


class JobNameTaken(Refusal):
    """The name belongs to the job {job_id}; choose another."""


class JobChangedMeanwhile(Refusal):
    """The job was changed meanwhile and is at version {version} now; read it again and repeat your
    change on that.
    """


class IdempotencyMismatch(Refusal):
    """This {header} was used before with another request; use a new one for a new request."""

    code = "idempotency_mismatch"


class UnreadableHistory(Refusal):
    """The history of this execution holds an event that this server cannot read ({reason}), so that
    it cannot say how it stood then; upgrade the server, or look at its events.
    """


class UnreadableStream(Refusal):
    """The history of this execution holds an event that this server cannot read ({reason});
    upgrade the server before changing the execution.
    """
