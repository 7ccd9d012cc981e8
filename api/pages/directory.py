"""The jobs that are defined or ever ran, by name: for the search box and the pages about jobs."""

from typing import Final
from uuid import UUID

from msgspec import Struct

from api.ledger import Ledger
from api.pages.shared import Shared
from domain import ids
from projections import job_queries, runs
from projections.job_queries import JobFilter, JobView
from projections.runs import SeenJob
from store import configurations

_SECONDS: Final = 5.0
# More jobs than this that match are no answer to a search.
MATCHES_MAX: Final = 100


class Known(Struct, frozen=True):
    """A job: what its runs say of it, and its definition if it has one."""

    job_id: str
    name: str | None
    seen: SeenJob | None
    defined: JobView | None = None

    @property
    def last_id(self) -> UUID | None:
        """Its newest execution, if there is any."""
        return self.seen.last_id if self.seen is not None else None

    @property
    def last_status(self) -> str | None:
        """How that stands."""
        return self.seen.last_status if self.seen is not None else None


async def everyone(shared: Shared, ledger: Ledger) -> list[Known]:
    """Return the jobs, by name."""

    async def read() -> list[Known]:
        known = {
            job.job_id: Known(job.job_id, job.name, job)
            for job in await runs.seen_jobs(ledger.pool)
        }
        page = await job_queries.page(ledger.pool, JobFilter(), limit=runs.JOBS_MAX, offset=0)
        for view in page.jobs:
            job_id = view.row.job_id
            name = configurations.shown(view.configuration).job_name or None
            seen = known[job_id].seen if job_id in known else None
            known[job_id] = Known(job_id, name, seen, view)
        return sorted(known.values(), key=name_of)

    return await shared.get("jobs", _SECONDS, read)


def name_of(job: Known) -> str:
    """Return what to call a job: its name, else its id."""
    return job.name if job.name is not None else job.job_id


def matching(jobs: list[Known], text: str) -> tuple[str, ...]:
    """Return the ids of the jobs whose name holds `text`, in any case.

    A job that is named exactly so is found even if there are too many others.
    """
    wanted = text.casefold()
    found = [job.job_id for job in jobs if wanted in name_of(job).casefold()]
    exact = ids.derived_job_id(text)
    return tuple(dict.fromkeys([exact, *found[:MATCHES_MAX]]))
