"""The settings of a server: one Struct, filled from the environment and the command line."""

import ipaddress
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from projections.erasing import Policy
from store.work import Lapses

PREFIX = "CRONLEDGER_"
TIMEOUT_SECONDS_HIGHEST = 2**31 - 1  # what the database can hold


class SettingsError(Exception):
    """A setting is wrong; the sentence names it and says what to do."""


class Settings(Struct, frozen=True, kw_only=True):
    """What a server can be told. Each field is the variable CRONLEDGER_<FIELD> in capitals.

    Times are in seconds, sizes in bytes.
    """

    home: Path
    host: str = "127.0.0.1"
    port: int = 8420
    database_url: str | None = None
    owner_database_url: str | None = None
    secret_key: str | None = None
    postgres_bin: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    behind_tls_proxy: bool = False
    timeout_seconds_max: int = 3600
    heartbeat_seconds: float = 10
    lease_seconds: float = 30
    timeout_grace_seconds: float = 20
    cancel_seconds: float = 30
    sweep_seconds: float = 1
    body_bytes_max: int = 8 * 1024 * 1024
    pool_size: int = 10
    queue_max: int = 10_000
    retention_success_days: float | None = None
    retention_success_bytes: int | None = None
    retention_failure_days: float | None = None
    retention_failure_bytes: int | None = None
    retention_seconds: float = 3600
    retries_per_minute: int = 60
    webhook_networks: str | None = None

    @property
    def lapses(self) -> Lapses:
        """How long the server waits for agents."""
        return Lapses(self.lease_seconds, self.timeout_grace_seconds, self.cancel_seconds)

    @property
    def retention(self) -> Policy:
        """How long output is kept."""
        return Policy(
            self.retention_success_days,
            self.retention_success_bytes,
            self.retention_failure_days,
            self.retention_failure_bytes,
        )


def load(home: Path, environment: Mapping[str, str] = os.environ, **given: Any) -> Settings:
    """Return the settings: what is `given` (and not None), else the environment, else defaults.

    Raises `SettingsError`.
    """
    values: dict[str, Any] = {"home": home}
    for setting in fields(Settings):
        name = setting.name
        if name == "home":
            continue
        if given.get(name) is not None:
            values[name] = given[name]
        elif text := environment.get(PREFIX + name.upper()):
            try:
                values[name] = msgspec.convert(text, setting.type, strict=False, dec_hook=_decode)
            except msgspec.ValidationError as error:
                raise SettingsError(f"{PREFIX}{name.upper()}={text!r}: {_wanted(error)}") from error
    settings = Settings(**values)
    _check(settings)
    return settings


def _wanted(error: msgspec.ValidationError) -> str:
    """Return what a setting must be, for people: the values of the environment are all texts."""
    kind = str(error).partition("Expected `")[2].partition("`")[0].partition(" | ")[0]
    sentences = {
        "int": "must be a whole number",
        "float": "must be a number",
        "bool": "must be true or false",
    }
    return sentences.get(kind, str(error))


def _decode(kind: type, text: str) -> Any:
    """Decode what msgspec does not know by itself: paths, the only such type of a setting."""
    return kind(text)


def _check(settings: Settings) -> None:
    if not 0 <= settings.port <= 65535:  # noqa: PLR2004 - the highest TCP port
        raise SettingsError(f"The port must be between 0 and 65535, not {settings.port}.")
    for name in ("heartbeat_seconds", "lease_seconds", "sweep_seconds", "retention_seconds"):
        value = getattr(settings, name)
        if not 0 < value < math.inf:
            raise SettingsError(f"{name} must be more than 0, not {value:g}.")
    limits = msgspec.structs.asdict(settings.retention)
    for name, value in limits.items():
        if value is not None and not 0 <= value < math.inf:
            raise SettingsError(f"retention_{name} must be 0 or more, not {value:g}.")
    if not 1 <= settings.timeout_seconds_max <= TIMEOUT_SECONDS_HIGHEST:
        raise SettingsError(
            f"timeout_seconds_max must be between 1 and {TIMEOUT_SECONDS_HIGHEST}, "
            f"not {settings.timeout_seconds_max}."
        )
    if settings.lease_seconds < 2 * settings.heartbeat_seconds:
        raise SettingsError("lease_seconds must be at least twice heartbeat_seconds.")
    if settings.retries_per_minute < 0:
        raise SettingsError("retries_per_minute must be 0 (no automatic retries) or more.")
    networks(settings)
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise SettingsError("TLS needs both tls_certificate and tls_key.")
    if not _is_loopback(settings.host) and not (
        settings.tls_certificate or settings.behind_tls_proxy
    ):
        raise SettingsError(
            f"Tokens would travel unencrypted on {settings.host}: give --tls-certificate and "
            "--tls-key, or say --behind-tls-proxy if a proxy in front does TLS."
        )


def networks(settings: Settings) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Return the networks that webhooks may be sent to though they are private.

    Raises `SettingsError`.
    """
    found = []
    for text in (settings.webhook_networks or "").split(","):
        if not text.strip():
            continue
        try:
            found.append(ipaddress.ip_network(text.strip()))
        except ValueError as error:
            raise SettingsError(
                f"webhook_networks: {error}; give networks such as 10.1.0.0/16,127.0.0.1/32."
            ) from error
    return found


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
