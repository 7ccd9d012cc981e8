"""The jobs that were ever seen, by name: for the search box and the pages about jobs."""

from typing import Final

from api.ledger import Ledger
from api.pages.shared import Shared
from domain import ids
from projections import runs
from projections.runs import SeenJob

_SECONDS: Final = 5.0
# More jobs than this that match are no answer to a search.
MATCHES_MAX: Final = 100


async def everyone(shared: Shared, ledger: Ledger) -> list[SeenJob]:
    """Return the jobs, by name."""

    async def read() -> list[SeenJob]:
        return sorted(await runs.seen_jobs(ledger.pool), key=name_of)

    return await shared.get("jobs", _SECONDS, read)


def name_of(job: SeenJob) -> str:
    """Return what to call a job: its name, else its id."""
    return job.name if job.name is not None else job.job_id


def matching(jobs: list[SeenJob], text: str) -> tuple[str, ...]:
    """Return the ids of the jobs whose name holds `text`, in any case.

    A job that is named exactly so is found even if there are too many others.
    """
    wanted = text.casefold()
    found = [job.job_id for job in jobs if wanted in name_of(job).casefold()]
    exact = ids.derived_job_id(text)
    return tuple(dict.fromkeys([exact, *found[:MATCHES_MAX]]))
