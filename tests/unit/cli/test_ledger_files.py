"""`cronledger export` and `import` where there is nothing to export, or to import into."""

from pathlib import Path

import pytest

from cli.main import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("URL", "TOKEN", "HOME", "DATABASE_URL", "SECRET_KEY"):
        monkeypatch.delenv(f"CRONLEDGER_{name}", raising=False)
    return tmp_path / "home"


def test_a_home_without_a_ledger_is_not_exported(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped home is told, and not made; no file is written."""
    assert main(["export", "--home", str(home), str(tmp_path / "file")]) == 3
    assert "no ledger in" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_no_file_to_export_to(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told before anything is read."""
    home.mkdir()
    assert main(["export", "--home", str(home), str(tmp_path)]) == 2
    assert f"{tmp_path} is a directory" in capsys.readouterr().err


def test_without_the_key_of_the_ledger_nothing_is_made(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key comes first: a home with a key of its own would be of no use."""
    (tmp_path / "file").write_bytes(b"{}\n")
    assert main(["import", "--home", str(home), str(tmp_path / "file")]) == 1
    assert "secret-key" in capsys.readouterr().err
    assert not home.exists()


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b"\x28\xb5\x2f\xfd", b"\x00" * 99])
def test_what_is_no_export_is_refused_before_a_database_is_started(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    """Exit code 1, a sentence, and a home as it was."""
    home.mkdir()
    (home / "secret-key").write_text("ab" * 32)
    (tmp_path / "file").write_bytes(content)
    assert main(["import", "--home", str(home), str(tmp_path / "file")]) == 1
    assert "Nothing was imported" in capsys.readouterr().err
    assert [path.name for path in home.iterdir()] == ["secret-key"]


def test_a_file_that_is_not_there_is_told(home: Path, tmp_path: Path) -> None:
    """Exit code 1, and the file by the name that was given."""
    assert main(["import", "--home", str(home), str(tmp_path / "nowhere")]) == 1


@pytest.mark.parametrize(
    "words",
    [["verify"], ["rebuild"], ["token", "list"], ["export", "-"]],
    ids=lambda words: words[0],
)
def test_a_mistyped_home_is_not_made(
    home: Path,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 3 and a sentence; nothing is there that was not there before."""
    monkeypatch.setenv("CRONLEDGER_HOME", str(home))
    monkeypatch.setenv("CRONLEDGER_SECRET_KEY", "ab" * 32)
    assert main(words) == 3
    assert f"there is no ledger in {home}" in capsys.readouterr().err
    assert not home.exists()
