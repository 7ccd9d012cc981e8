"""Rules of the settings, and of the first files of a home."""

import threading
from pathlib import Path

import pytest

from api import bootstrap
from api.settings import SettingsError, load


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(f"{name}_SECONDS", value) for name in ("HEARTBEAT", "LEASE") for value in ("0", "nan")],
        *[("SWEEP_SECONDS", "-1"), ("LEASE_SECONDS", "inf")],
        *[("TIMEOUT_SECONDS_MAX", "0"), ("TIMEOUT_SECONDS_MAX", "2147483648")],
    ],
)
def test_a_value_that_cannot_work_is_refused(name: str, value: str, tmp_path: Path) -> None:
    """The sentence names the setting."""
    with pytest.raises(SettingsError, match=name.lower()):
        load(tmp_path, {f"CRONLEDGER_{name}": value})


def test_the_longest_timeout_that_can_be_kept_is_accepted(tmp_path: Path) -> None:
    """The bound itself is allowed."""
    settings = load(tmp_path, {"CRONLEDGER_TIMEOUT_SECONDS_MAX": "2147483647"})
    assert settings.timeout_seconds_max == 2**31 - 1


@pytest.mark.parametrize("name", ["postgres_bin", "tls_certificate", "tls_key"])
def test_a_path_can_come_from_the_environment(name: str, tmp_path: Path) -> None:
    """Settings that are paths are read from text, as all others."""
    told = {f"CRONLEDGER_{one}": f"/srv/{one}" for one in ("TLS_CERTIFICATE", "TLS_KEY")}
    told[f"CRONLEDGER_{name.upper()}"] = "/srv/here"

    assert getattr(load(tmp_path, told), name) == Path("/srv/here")


def test_first_starts_that_share_a_home_agree_on_its_key(tmp_path: Path) -> None:
    """Whoever is first wins; all others read what it wrote, and nothing else is left."""
    together, seen = threading.Barrier(8), list[str]()

    def begin(number: int) -> None:
        together.wait()
        seen.append(bootstrap._private(tmp_path / "secret-key", f"key {number}"))

    starts = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert seen == [(tmp_path / "secret-key").read_text().strip()] * 8
    assert [path.name for path in tmp_path.iterdir()] == ["secret-key"]


def test_a_key_that_appears_between_look_and_write_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of the faster start is never replaced."""
    written = bootstrap._new_private

    def slowly(path: Path, content: str) -> Path:
        new = written(path, content)
        path.write_text("theirs")
        return new

    monkeypatch.setattr(bootstrap, "_new_private", slowly)
    assert bootstrap._private(tmp_path / "secret-key", "ours") == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["secret-key"]
