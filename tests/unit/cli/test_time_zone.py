"""The zone of a schedule is the one in which cron reads it."""

from pathlib import Path

import pytest

from cli import time_zone


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder instead of /etc, without a zone."""
    monkeypatch.delenv("CRON_TZ", raising=False)
    monkeypatch.setattr(time_zone, "_LINK", tmp_path / "localtime")
    monkeypatch.setattr(time_zone, "_NAME", tmp_path / "timezone")
    return tmp_path


def test_the_crontabs_own_zone_comes_first(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CRON_TZ says it, whatever the machine's zone is."""
    (machine / "timezone").write_text("Europe/Berlin\n")
    monkeypatch.setenv("CRON_TZ", "Asia/Tokyo")
    assert time_zone.crons_zone() == "Asia/Tokyo"


def test_the_machines_zone_is_where_its_link_leads(machine: Path) -> None:
    """The link counts more than the name beside it, which may be of former days."""
    zone = machine / "share" / "zoneinfo" / "America" / "New_York"
    zone.parent.mkdir(parents=True)
    zone.touch()
    (machine / "localtime").symlink_to(zone)
    (machine / "timezone").write_text("Europe/Berlin\n")
    assert time_zone.crons_zone() == "America/New_York"


def test_without_a_link_the_name_counts_and_without_both_nothing(machine: Path) -> None:
    """A container often has neither."""
    assert time_zone.crons_zone() is None
    (machine / "timezone").write_text("Europe/Berlin\n")
    assert time_zone.crons_zone() == "Europe/Berlin"
