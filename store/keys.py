"""The secret key outside the database, and everything that is derived from it.

From one 32-byte key come a key for configurations (AES-SIV, RFC 5297: deterministic, so that equal
configurations stay equal), one for their salts and one for lease tokens.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

_KEY_BYTES: Final = 32
_LEASE_PREFIX: Final = "lease_"
_MAC_BYTES: Final = 16


class WrongKey(Exception):
    """The secret key does not fit this ledger; restore the key file that was made with it."""


class Keys:
    """The keys of one ledger."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != _KEY_BYTES:
            raise WrongKey("The secret key must be 32 bytes.")
        self._salts = _derive(secret, b"salts")
        self._leases = _derive(secret, b"leases")
        self._fingerprints = _derive(secret, b"fingerprints")
        self._cursors = _derive(secret, b"cursors")
        self._check = _derive(secret, b"check")
        self._cipher = AESSIV(_derive(secret, b"secrets", 64))

    def check(self, ledger_id: UUID) -> bytes:
        """Return what the ledger remembers of its key: it tells whether, not what, the key is."""
        return _mac(self._check, ledger_id.bytes, 32)

    def encrypt(self, value: str) -> str:
        """Encrypt the value of a secret; equal values give equal text."""
        return base64.b64encode(self._cipher.encrypt(value.encode(), None)).decode()

    def decrypt(self, text: str) -> str:
        """Return the value of a secret. Raises `WrongKey`."""
        try:
            return self._cipher.decrypt(base64.b64decode(text), None).decode()
        except (InvalidTag, ValueError) as error:
            raise WrongKey("A secret cannot be decrypted with this server's key.") from error

    def salt(self, body: bytes) -> bytes:
        """Return the salt of a shared body: secret, and the same for the same body."""
        return _mac(self._salts, body, 16)

    def fingerprint(self, said: bytes) -> bytes:
        """Return what remembers a request without telling it: requests hold secrets."""
        return _mac(self._fingerprints, said, 32)

    def cursor_mark(self, said: bytes) -> str:
        """Return what tells that a cursor was made here, for just that."""
        return _mac(self._cursors, said, 16).hex()

    def lease_token(self, execution_id: UUID, fence: UUID) -> str:
        """Return the token of the lease that the claim with command id `fence` got."""
        text = fence.bytes + self._lease_mac(execution_id, fence)
        return _LEASE_PREFIX + base64.urlsafe_b64encode(text).decode().rstrip("=")

    def fence(self, execution_id: UUID, token: str) -> UUID | None:
        """Return the command id of the claim that `token` was made for, None if it is no such."""
        if not token.startswith(_LEASE_PREFIX):
            return None
        try:
            text = base64.urlsafe_b64decode(token.removeprefix(_LEASE_PREFIX) + "==")
        except ValueError:
            return None
        if len(text) != 16 + _MAC_BYTES:
            return None
        fence = UUID(bytes=text[:16])
        expected = self._lease_mac(execution_id, fence)
        return fence if hmac.compare_digest(expected, text[16:]) else None

    def _lease_mac(self, execution_id: UUID, fence: UUID) -> bytes:
        return _mac(self._leases, execution_id.bytes + fence.bytes, _MAC_BYTES)


def new_secret() -> bytes:
    """Return a new random key."""
    return secrets.token_bytes(_KEY_BYTES)


def _mac(key: bytes, said: bytes, size: int) -> bytes:
    """Return a message authentication code: keyed BLAKE2b (RFC 7693), a quarter of HMAC's cost."""
    return hashlib.blake2b(said, key=key, digest_size=size).digest()


def _derive(secret: bytes, purpose: bytes, size: int = 32) -> bytes:
    return hashlib.blake2b(key=secret, person=purpose.ljust(16, b"\0"), digest_size=size).digest()
