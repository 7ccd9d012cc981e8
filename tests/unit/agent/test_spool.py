"""Rules of the spool: bounded, private, and it forgets the oldest first."""

import json
import os
from pathlib import Path

from agent.backlog import Backlog
from agent.client import Client
from agent.recovery import find_runs
from agent.run_folder import ENDING, RUN, RUNNING, RunFolder, folders_in
from agent.spool import Spool


def kept(spool: Spool, name: str, size: int) -> RunFolder:
    """A run that is over and waits."""
    folder, (running,) = RunFolder.make(spool.runs, name, RUNNING)
    os.close(running)
    folder.write(RUN, {"create": {}, "started_at": 0})
    folder.write(ENDING, {"exit_code": 0})
    (folder.path / "stdout.0").write_bytes(b"x" * size)
    return folder


def test_the_oldest_output_goes_first_and_that_it_ran_stays(tmp_path: Path) -> None:
    """Over its bytes a spool drops output, oldest first, until it fits; no run is forgotten."""
    spool = Spool(tmp_path, bytes_max=250)
    folders = [kept(spool, f"exec_{number}", 100) for number in range(4)]
    assert spool.trim(weigh=False) is None
    told = spool.trim()
    assert told == f"{tmp_path} is full: 2 of its oldest runs or their output were dropped"
    with_output = [(one.path / "stdout.0").exists() for one in folders]
    assert with_output == [False, False, True, True]
    assert all(one.read(ENDING) == {"exit_code": 0} for one in folders)
    assert spool.trim() is None


def test_the_oldest_runs_go_when_there_are_too_many(tmp_path: Path) -> None:
    """Over its number, those that were set aside count too."""
    spool = Spool(tmp_path, runs_max=2)
    kept(spool, "exec_0", 1).set_aside("too old")
    for number in range(1, 4):
        kept(spool, f"exec_{number}", 1)
    assert spool.trim() is not None
    assert [one.execution_id for one in folders_in(spool.runs)] == ["exec_2", "exec_3"]
    assert folders_in(tmp_path / "refused") == []


def test_what_still_runs_neither_waits_nor_goes(tmp_path: Path) -> None:
    """A run whose exec lives is its own business."""
    spool = Spool(tmp_path, runs_max=0, bytes_max=0)
    folder, (running,) = RunFolder.make(spool.runs, "exec_1", RUNNING)
    assert list(spool.waiting()) == []
    assert spool.trim() is None
    os.close(running)
    assert [one.execution_id for one in spool.waiting()] == [folder.execution_id]


def test_one_delivers_at_a_time(tmp_path: Path) -> None:
    """Who comes second leaves it to the first; an empty spool needs nobody."""
    spool = Spool(tmp_path)
    assert spool.lock() is None
    kept(spool, "exec_1", 1)
    first = spool.lock()
    assert first is not None
    assert spool.lock() is None
    os.close(first)
    again = spool.lock()
    assert again is not None
    os.close(again)


def test_a_refused_run_is_kept_for_people_with_the_reason(tmp_path: Path) -> None:
    """It is out of the way, and whole."""
    spool = Spool(tmp_path)
    kept(spool, "exec_1", 3).set_aside("job_name is too long")
    assert list(spool.waiting()) == []
    aside = tmp_path / "refused" / "exec_1"
    assert json.loads((aside / "reason.json").read_bytes()) == {"reason": "job_name is too long"}
    assert (aside / "stdout.0").read_bytes() == b"xxx"


def test_a_folder_is_seen_only_when_it_is_locked(tmp_path: Path) -> None:
    """There is no moment in which a new run looks like one that nobody cares for."""
    folder, (running,) = RunFolder.make(tmp_path, "exec_1", RUNNING)
    assert folder.is_running()
    (tmp_path / ".exec_2").mkdir()
    assert [one.execution_id for one in folders_in(tmp_path)] == ["exec_1"]
    os.close(running)
    assert not folder.is_running()


def test_documents_that_nobody_can_read_are_set_aside(tmp_path: Path) -> None:
    """One broken folder neither stops an agent nor what waits behind it."""
    spool = Spool(tmp_path)
    kept(spool, "exec_1", 1).write(RUN, {"strange": 1})
    lines: list[str] = []
    assert Backlog(spool, Client("http://127.0.0.1:1", "t"), lines.append).carry_out()
    assert (tmp_path / "refused" / "exec_1").is_dir()
    assert lines == ["exec_1: a run of exec, refused: its documents are not ones that can be read"]
    kept(spool, "exec_2", 1).write(RUN, {"lease": {"strange": 1}})
    assert find_runs(spool.runs) == []
    assert (tmp_path / "refused" / "exec_2").is_dir()


def test_what_was_refused_is_bounded_by_itself(tmp_path: Path) -> None:
    """An agent keeps the newest of what no server takes, and all that still waits."""
    spool = Spool(tmp_path, runs_max=1)
    for name in ("exec_1", "exec_2", "exec_3"):
        kept(spool, name, 1).set_aside("never")
    for name in ("exec_4", "exec_5"):
        kept(spool, name, 1)
    told = spool.trim_refused()
    assert told is not None
    assert "2 of its oldest" in told
    assert [one.execution_id for one in folders_in(tmp_path / "refused")] == ["exec_3"]
    assert [one.execution_id for one in folders_in(spool.runs)] == ["exec_4", "exec_5"]
