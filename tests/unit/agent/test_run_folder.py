"""Rules of a run's folder: private, whole or not there, and one that is broken harms no other."""

import os
from pathlib import Path

import pytest

from agent.recovery import find_runs
from agent.run_folder import (
    DELIVERING,
    RUN,
    RUNNING,
    RunFolder,
    folders_in,
    lock_file,
    remove_abandoned,
)

HOUR_SECONDS = 3600


def left_behind(runs: Path, name: str) -> RunFolder:
    """A run whose agent has gone."""
    folder, locks = RunFolder.make(runs, name, RUNNING, DELIVERING)
    for held in locks:
        os.close(held)
    lease = {"execution_id": name, "token": "t", "heartbeat_seconds": 1, "seconds": 3}
    folder.write(RUN, {"lease": lease, "started_at": 0})
    return folder


def test_a_folder_that_cannot_be_removed_is_passed_over(tmp_path: Path) -> None:
    """An agent starts all the same, says so, and takes up the other runs."""
    # given: one whose documents are gone, and that holds what nobody expects
    bad, good = left_behind(tmp_path, "exec_1"), left_behind(tmp_path, "exec_2")
    (bad.path / RUN).unlink()
    (bad.path / "folder").mkdir()
    lines: list[str] = []
    # when
    (found,) = find_runs(tmp_path, lines.append)
    # then
    os.close(found.delivering)
    assert found.folder.path == good.path
    assert len(lines) == 1
    assert lines[0].startswith("exec_1: cannot be taken up: ")


def test_what_a_killed_maker_has_left_is_removed_after_a_while(tmp_path: Path) -> None:
    """A hidden folder that was made just now may be about to be seen: it stays."""
    for name in (".exec_1", ".exec_2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / RUNNING).touch()
    before = (tmp_path / ".exec_1").stat().st_mtime - HOUR_SECONDS - 1
    os.utime(tmp_path / ".exec_1", (before, before))
    remove_abandoned(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".exec_2"]


def test_what_is_removed_is_out_of_sight_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody finds a run of which half is gone, and takes it for one that was not delivered."""
    folder, unlink = left_behind(tmp_path, "exec_1"), os.unlink
    seen: list[str] = []

    def watched(path: str) -> None:
        seen.extend(one.execution_id for one in folders_in(tmp_path))
        unlink(path)

    monkeypatch.setattr(os, "unlink", watched)
    folder.remove()

    assert seen == []
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_remover_has_left_is_removed_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is out of sight until then, and nobody delivers it again."""
    folder = left_behind(tmp_path, "exec_1")
    with monkeypatch.context() as killing:
        killing.setattr(os, "rmdir", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            folder.remove()
    assert folders_in(tmp_path) == []
    (hidden,) = tmp_path.iterdir()
    before = hidden.stat().st_mtime - HOUR_SECONDS - 1
    os.utime(hidden, (before, before))

    remove_abandoned(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    """Neither the hidden folder nor a descriptor stays behind."""
    left_behind(tmp_path, "exec_1")
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(OSError, match="not empty"):
        RunFolder.make(tmp_path, "exec_1", RUNNING)
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["exec_1"]


def test_a_lock_that_is_not_got_is_an_error(tmp_path: Path) -> None:
    """A new run never goes without its lock."""
    with pytest.raises(BlockingIOError):
        RunFolder.make(tmp_path, "exec_1", RUNNING, RUNNING)
    assert list(tmp_path.iterdir()) == []


def test_to_ask_whether_it_runs_makes_nothing(tmp_path: Path) -> None:
    """A folder that is being removed gets no new lock, which would keep it from going."""
    folder = left_behind(tmp_path, "exec_1")
    (folder.path / RUNNING).unlink()
    assert not folder.is_running()
    assert not (folder.path / RUNNING).exists()


def test_output_that_goes_meanwhile_does_not_keep_the_rest_from_being_durable(
    tmp_path: Path,
) -> None:
    """The oldest part of a tail is removed at any time; a document may be half written."""
    folder = left_behind(tmp_path, "exec_1")
    (folder.path / "stdout.500").symlink_to(tmp_path / "gone")
    (folder.path / "ending.json.new").symlink_to(folder.path / "ending.json.new")
    folder.sync()
    assert folder.read(RUN) is not None


def test_links_are_not_followed(tmp_path: Path) -> None:
    """What somebody else has put there leads nowhere."""
    target = tmp_path / "target"
    target.write_text("kept")
    folder = left_behind(tmp_path / "runs", "exec_1")
    (folder.path / "ending.json.new").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        folder.write("ending.json", {})
    (folder.path / "other").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        lock_file(folder.path / "other")
    assert target.read_text() == "kept"
