"""In which time zone cron reads a schedule on this machine."""

from __future__ import annotations

import os
from pathlib import Path

_LINK = Path("/etc/localtime")
_NAME = Path("/etc/timezone")
_FOLDER = "/zoneinfo/"


def crons_zone() -> str | None:
    """Return the IANA name of the zone; None if nothing says it.

    That is CRON_TZ where the crontab sets it, else the machine's own zone. TZ is for the command:
    cron does not read it.
    """
    named = os.environ.get("CRON_TZ", "").strip()
    if named:
        return named
    try:
        target = os.path.realpath(_LINK)
        if _FOLDER in target:
            return target.rpartition(_FOLDER)[2]
        return _NAME.read_text(encoding="utf-8").strip() or None
    except (OSError, ValueError):
        return None
