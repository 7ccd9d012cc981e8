"""All routes of the pages. They are no part of the API, and its description leaves them out."""

from typing import Final

from api.pages import agents, execution, history, jobs, logs, night, rendered, sign_in

HANDLERS: Final = (
    *history.HANDLERS,
    *execution.HANDLERS,
    *logs.HANDLERS,
    *night.HANDLERS,
    *jobs.HANDLERS,
    *agents.HANDLERS,
    *sign_in.HANDLERS,
    *rendered.HANDLERS,
)
