"""Why nothing ran, over HTTP: of one job, of all, page by page."""

from tests.contract.test_jobs import PATH, made, post
from tests.support.calls import Api, fresh
from tests.support.problems import check_problem


def test_a_job_of_which_no_time_passed_has_an_empty_list(api: Api) -> None:
    """An answer like any other; of a job that does not exist there is none."""
    job = made(api)
    answer = api.request("GET", f"{PATH}/{job['id']}/skipped").ok().json()
    assert answer == {"data": [], "next_before": None}
    missing = check_problem(api.request("GET", f"{PATH}/{fresh('none')}/skipped"), 404)
    assert "job" in missing["detail"]
    assert isinstance(api.request("GET", f"{PATH}/skipped").ok().json()["data"], list)


def test_wrong_pages_are_refused(api: Api) -> None:
    """The sentence names the parameter."""
    for query in ("limit=0", "limit=101", "before=0", "before=x", "order=up"):
        check_problem(api.request("GET", f"{PATH}/skipped", query), 400)


def test_no_job_can_take_the_name_of_the_list(api: Api) -> None:
    """Its own path would lead elsewhere."""
    body = {"name": fresh("job"), "id": "skipped", "schedule": "@daily", "command": "true"}
    check_problem(post(api, "", body), 400)
