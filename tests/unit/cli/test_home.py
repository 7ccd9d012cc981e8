"""Rules of finding the home, the server and the token."""

from pathlib import Path

import pytest

from cli.home import ADMIN_TOKEN, default_home, find_token, server_url


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "URL", "TOKEN", "PORT"):
        monkeypatch.delenv(f"CRONLEDGER_{name}", raising=False)


def test_the_configured_home_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CRONLEDGER_HOME wins, for root too."""
    monkeypatch.setenv("CRONLEDGER_HOME", str(tmp_path))
    assert default_home() == tmp_path


def test_root_has_the_systems_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's default is the system's."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_home() == Path("/var/lib/cronledger")


@pytest.mark.parametrize(
    ("data_home", "expected"),
    [
        ("/data", "/data/cronledger"),
        ("relative", "/home/u/.local/share/cronledger"),
        ("", "/home/u/.local/share/cronledger"),
    ],
)
def test_others_have_their_data_folder(
    monkeypatch: pytest.MonkeyPatch, data_home: str, expected: str
) -> None:
    """XDG_DATA_HOME if it is absolute, else ~/.local/share."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.setenv("XDG_DATA_HOME", data_home)
    assert default_home() == Path(expected)


def test_the_address_is_configured_or_written_or_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """CRONLEDGER_URL, then the running server's file, then the default port."""
    assert server_url(tmp_path) == "http://127.0.0.1:8420"
    monkeypatch.setenv("CRONLEDGER_PORT", "9000")
    assert server_url(tmp_path) == "http://127.0.0.1:9000"
    (tmp_path / "server.json").write_text('{"url": "http://127.0.0.1:1234", "pid": 1}')
    assert server_url(tmp_path) == "http://127.0.0.1:1234"
    monkeypatch.setenv("CRONLEDGER_URL", "https://ledger.example")
    assert server_url(tmp_path) == "https://ledger.example"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"url": 7}'])
def test_a_broken_server_file_is_as_none(tmp_path: Path, content: str) -> None:
    """A half-written file does not stop a command."""
    (tmp_path / "server.json").write_text(content)
    assert server_url(tmp_path) == "http://127.0.0.1:8420"


def test_the_token_is_configured_or_read_or_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """CRONLEDGER_TOKEN, then the home's file, then nothing."""
    assert find_token(tmp_path, ADMIN_TOKEN) is None
    (tmp_path / "admin-token").write_text("clk_file\n")
    assert find_token(tmp_path, ADMIN_TOKEN) == "clk_file"
    monkeypatch.setenv("CRONLEDGER_TOKEN", "clk_env")
    assert find_token(tmp_path, ADMIN_TOKEN) == "clk_env"


@pytest.mark.parametrize("configured", ["", "~/ledger"])
def test_a_user_without_a_folder_has_the_systems(
    monkeypatch: pytest.MonkeyPatch, configured: str
) -> None:
    """In a container nobody may know the user's folder; that is no reason to fail."""

    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("CRONLEDGER_HOME", configured)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert default_home() == Path("/var/lib/cronledger")
