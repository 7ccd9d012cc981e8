"""From a home folder to a database that serves a ledger: keys, roles, schema, first tokens."""

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
from msgspec import Struct
from psycopg.conninfo import make_conninfo

from api.settings import Settings, SettingsError
from domain import ids
from domain.names import agent_id_of
from store import database, tokens, witness
from store.embedded import EmbeddedServer, HomeInUseError
from store.keys import Keys, new_secret
from store.postgres_home import PostgresHome

DATABASE: Final = "cronledger"
SECRET_KEY: Final = "secret-key"  # noqa: S105 - the name of a file
SERVER_PASSWORD: Final = "server-password"  # noqa: S105 - the name of a file
ADMIN_TOKEN: Final = "admin-token"  # noqa: S105 - the name of a file
AGENT_TOKEN: Final = "agent-token"  # noqa: S105 - the name of a file
WITNESS: Final = "head"


class NoLedger(Exception):
    """There is no ledger in this home, or not its key, and the command is not one to make them."""

    def __init__(self, what: str, settings: Settings) -> None:
        super().__init__(
            f"there is no {what} in {settings.home}: name the server's home by --home or "
            "CRONLEDGER_HOME"
        )


class Prepared(Struct, frozen=True):
    """A database that is ready to serve: how the server connects, and to which ledger.

    `owner` is what the owner of the schema connects with.
    """

    conninfo: str
    owner: str
    ledger_id: Any
    keys: Keys
    made_admin_token: bool


@contextlib.contextmanager
def embedded(settings: Settings) -> Iterator[EmbeddedServer | None]:
    """Run the embedded server for as long as the context; None with an external database."""
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if settings.database_url is not None:
        yield None
        return
    with EmbeddedServer(settings.home, bin_dir=settings.postgres_bin) as server:
        yield server


@contextlib.contextmanager
def owned(settings: Settings) -> Iterator[EmbeddedServer | None]:
    """Run the embedded server, if any, in a home that is ours alone, whatever the database.

    Raises `HomeInUseError` if a server runs in this home.
    """
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(embedded(settings))  # which takes the home
        if server is None:
            stack.callback(os.close, PostgresHome(settings.home).take())
        yield server


def prepare(settings: Settings, server: EmbeddedServer | None) -> Prepared:
    """Bring keys, schema and tokens to where the server can start.

    Raises `NotReady`, `WrongKey`, `HistoryLost`, or psycopg's `OperationalError`.
    """
    keys = _keys(settings)
    owner = _owner(settings, server)
    ledger_id = _migrated(settings, server, owner, keys)
    if server is not None:
        password = _private(settings.home / SERVER_PASSWORD, secrets.token_hex(16))
        conninfo = database.server_conninfo(owner, password=password)
    elif settings.owner_database_url is not None:
        conninfo = make_conninfo(_external(settings), options=database.SESSION)
    else:
        conninfo = database.server_conninfo(owner, password=None)
    witness.compare(settings.home / WITNESS, conninfo, ledger_id)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        made_admin = _first_tokens(connection, settings.home)
    return Prepared(conninfo, owner, ledger_id, keys, made_admin)


@contextlib.contextmanager
def administration(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    """Connect to the ledger's database beside a running server, or start it for the moment.

    Raises `NoLedger`: else a mistyped home would be made, and be of no use.
    """
    _check_home(settings, needs_key=True)
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(embedded(settings))
            _check_key(settings)
        except HomeInUseError:
            # A server runs here: its database is reachable through the home's socket.
            server = EmbeddedServer(settings.home, bin_dir=settings.postgres_bin)
            conninfo = server.conninfo(DATABASE)
        else:
            conninfo = prepare(settings, server).conninfo
        yield stack.enter_context(psycopg.connect(conninfo, autocommit=True))


@contextlib.contextmanager
def ownership(settings: Settings, *, migrate: bool) -> Iterator[str]:
    """Tell with what the owner of the ledger's database connects, beside a running server or not.

    The schema is brought up to date if `migrate` says so, or if the database has to be started.
    Raises `NoLedger`.
    """
    _check_home(settings, needs_key=migrate)
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(embedded(settings))
            migrate = migrate or server is not None
        except HomeInUseError:
            server = EmbeddedServer(settings.home, bin_dir=settings.postgres_bin)
        owner = _owner(settings, server)
        if migrate:
            _check_key(settings)
            _migrated(settings, server, owner, _keys(settings))
        yield owner


def known_keys(settings: Settings) -> Keys | None:
    """Return the keys that a ledger here has or would get; None if they would be new ones."""
    if settings.secret_key is None and not (settings.home / SECRET_KEY).exists():
        return None
    return _keys(settings)


def _check_home(settings: Settings, *, needs_key: bool) -> None:
    """Raise `NoLedger` if the home, which need not be there, does not belong to a ledger.

    A server that runs in it knows the key, wherever from; that of an external database we need.
    """
    if settings.database_url is not None:
        if needs_key:
            _check_key(settings)
    elif not PostgresHome(settings.home).clusters():
        raise NoLedger("ledger", settings)


def _check_key(settings: Settings) -> None:
    """Raise `NoLedger` rather than make a key, which would not be the ledger's."""
    if known_keys(settings) is None:
        raise NoLedger("secret key (nor in CRONLEDGER_SECRET_KEY)", settings)


@contextlib.contextmanager
def unused(settings: Settings) -> Iterator[tuple[psycopg.Connection[Any], Prepared]]:
    """Connect as the owner of a ledger's database that no server works on.

    Raises `HomeInUseError` if one runs in this home.
    """
    with owned(settings) as server:
        prepared = prepare(settings, server)
        with psycopg.connect(prepared.owner, autocommit=True) as connection:
            yield connection, prepared


def local_agent_id() -> str:
    """Return the name of this machine as an agent id."""
    return agent_id_of(socket.gethostname())


def _owner(settings: Settings, server: EmbeddedServer | None) -> str:
    """Return what the owner of the database connects with."""
    external = _external(settings) if server is None else ""
    return server.conninfo(DATABASE) if server else settings.owner_database_url or external


def _migrated(settings: Settings, server: EmbeddedServer | None, owner: str, keys: Keys) -> UUID:
    """Bring the schema up to date; return the ledger's id."""
    if server is None:
        return database.migrate(owner, keys, password=None)
    password = _private(settings.home / SERVER_PASSWORD, secrets.token_hex(16))
    database.create_database(server.conninfo(), DATABASE)
    return database.migrate(owner, keys, password=password)


def _external(settings: Settings) -> str:
    if settings.database_url is None:
        raise SettingsError(
            "CRONLEDGER_OWNER_DATABASE_URL needs CRONLEDGER_DATABASE_URL beside it."
        )
    return settings.database_url


def _keys(settings: Settings) -> Keys:
    text = settings.secret_key or _private(settings.home / SECRET_KEY, new_secret().hex())
    try:
        return Keys(bytes.fromhex(text.strip()))
    except ValueError as error:
        where = "CRONLEDGER_SECRET_KEY" if settings.secret_key else settings.home / SECRET_KEY
        raise SettingsError(f"{where}: the secret key must be 64 hexadecimal digits.") from error


def _first_tokens(connection: psycopg.Connection[Any], home: Path) -> bool:
    """Make the admin token if no token was ever made, and the local agent's if it is missing."""
    new_id = ids.Uuid7(time.time_ns, secrets.randbits)
    made_admin = False
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [database.MIGRATION_LOCK])
        if not tokens.any_exist(connection):
            secret = tokens.create(connection, new_id(), "admin", ["admin"])
            _write_private(home / ADMIN_TOKEN, secret)
            made_admin = True
        agent_id = local_agent_id()
        if not _has_agent_token(connection, home / AGENT_TOKEN, agent_id):
            secret = tokens.create(
                connection, new_id(), "local agent", ["agent"], agent_id=agent_id
            )
            _write_private(home / AGENT_TOKEN, secret)
    return made_admin


def _has_agent_token(connection: psycopg.Connection[Any], path: Path, agent_id: str) -> bool:
    try:
        secret = path.read_text().strip()
    except FileNotFoundError:
        return False
    return tokens.is_valid(connection, secret, agent_id)


def _private(path: Path, fresh: str) -> str:
    """Return what the file holds; if it is missing, write `fresh` into it first."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    new = _new_private(path, fresh)
    try:
        # Unlike a rename this fails if another start was faster, whose content then counts.
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink()
    _sync_folder(path)
    return path.read_text().strip()


def _write_private(path: Path, content: str) -> None:
    """Write a file that only its owner can read, durably and in one step."""
    _new_private(path, content).replace(path)
    _sync_folder(path)


def _new_private(path: Path, content: str) -> Path:
    """Write `content` durably beside `path`, for its owner alone; return where."""
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content + "\n")
        file.flush()
        os.fsync(file.fileno())
    return new


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
