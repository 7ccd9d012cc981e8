"""One key outside the database: what it makes cannot be forged or read without it."""

import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.events import BodyDigest
from store import configurations, output
from store.configurations import Job
from store.keys import Keys, WrongKey, new_secret

KEYS = Keys(bytes(range(32)))
STRANGER = Keys(bytes(32))
EXECUTION, FENCE = UUID(int=11), UUID(int=12)


def test_a_lease_token_names_its_claim() -> None:
    """The token of a claim is read back as that claim, for that execution."""
    token = KEYS.lease_token(EXECUTION, FENCE)

    assert KEYS.fence(EXECUTION, token) == FENCE


@pytest.mark.parametrize("index", range(len(KEYS.lease_token(EXECUTION, FENCE))))
def test_a_token_with_one_character_changed_is_refused(index: int) -> None:
    """No character of a token can be changed; the last one holds two bits that mean nothing."""
    token = KEYS.lease_token(EXECUTION, FENCE)
    other = "A" if token[index] != "A" else "Q"
    forged = token[:index] + other + token[index + 1 :]

    assert KEYS.fence(EXECUTION, forged) is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        "lease_",
        "lease_!!!!",
        "lease_\u00e9",
        KEYS.lease_token(EXECUTION, FENCE) + "A",
        KEYS.lease_token(EXECUTION, FENCE)[:-4],
        KEYS.lease_token(EXECUTION, FENCE).removeprefix("lease_"),
        KEYS.lease_token(UUID(int=13), FENCE),
        STRANGER.lease_token(EXECUTION, FENCE),
        "lease_" + base64.urlsafe_b64encode(FENCE.bytes + bytes(16)).decode().rstrip("="),
    ],
)
def test_what_is_no_token_of_this_execution_is_refused(token: str) -> None:
    """Cut, padded, made-up and foreign tokens, and those of other executions, are none."""
    assert KEYS.fence(EXECUTION, token) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_a_secret_is_read_back(value: str) -> None:
    """What is encrypted is decrypted to the same text, and does not show it meanwhile."""
    hidden = KEYS.encrypt(value)

    assert KEYS.decrypt(hidden) == value
    assert len(value) < 4 or value not in hidden
    with pytest.raises(WrongKey):
        STRANGER.decrypt(hidden)


def test_equal_secrets_stay_equal() -> None:
    """Equal values give equal text, so that equal configurations share one body."""
    assert KEYS.encrypt("swordfish") == KEYS.encrypt("swordfish")
    assert KEYS.encrypt("swordfish") != KEYS.encrypt("swordfish ")


@pytest.mark.parametrize("text", ["", "no base64!", "AAAA", KEYS.encrypt("swordfish")[:-8]])
def test_a_damaged_secret_is_said_to_be_one(text: str) -> None:
    """What cannot be decrypted is an error with a sentence, never another text."""
    with pytest.raises(WrongKey, match="cannot be decrypted"):
        KEYS.decrypt(text)


def test_a_key_has_its_length() -> None:
    """A key that is too short is refused; a new one is never the same twice."""
    with pytest.raises(WrongKey, match="32 bytes"):
        Keys(b"short")
    assert new_secret() != new_secret()
    Keys(new_secret())


def test_a_ledger_knows_its_key() -> None:
    """What the ledger remembers tells keys and ledgers apart."""
    assert KEYS.check(EXECUTION) == Keys(bytes(range(32))).check(EXECUTION)
    assert KEYS.check(EXECUTION) != STRANGER.check(EXECUTION)
    assert KEYS.check(EXECUTION) != KEYS.check(FENCE)


JOB = Job(
    job_id="backup",
    job_name="nightly backup",
    command=("pg_dump", "--all"),
    timeout_seconds=60,
    environment={"COLOR": "blue"},
    secrets={"PASSWORD": "swordfish"},
)


def test_a_configuration_keeps_its_secrets() -> None:
    """The stored body shows everything but the secrets; only with the key they come back."""
    sealed, digest = configurations.seal(JOB, KEYS)

    assert b"swordfish" not in sealed.body
    assert digest == BodyDigest(len(sealed.body), sealed.digest)
    assert output.salted_sha256(sealed.salt, sealed.body) == sealed.digest
    assert configurations.opened(sealed.body, KEYS) == JOB
    assert configurations.shown(sealed.body).secrets == {"PASSWORD": ""}
    with pytest.raises(WrongKey):
        configurations.opened(sealed.body, STRANGER)


def test_equal_jobs_are_one_configuration() -> None:
    """The order of variables makes no other configuration; a key that differs does."""
    turned = Job(
        job_id="backup",
        job_name="nightly backup",
        command=("pg_dump", "--all"),
        timeout_seconds=60,
        environment=dict(reversed({"COLOR": "blue", "SHAPE": "round"}.items())),
    )
    straight = Job(
        job_id="backup",
        job_name="nightly backup",
        command=("pg_dump", "--all"),
        timeout_seconds=60,
        environment={"COLOR": "blue", "SHAPE": "round"},
    )

    assert configurations.seal(turned, KEYS) == configurations.seal(straight, KEYS)
    # The salt is secret: who sees a digest cannot try commands until one fits.
    assert configurations.seal(JOB, KEYS)[1] != configurations.seal(JOB, STRANGER)[1]


def test_an_erased_configuration_is_shown_as_such() -> None:
    """A body that was erased is an empty job, not an error."""
    assert configurations.shown(None) == configurations.ERASED


def test_a_sentence_is_stored_with_its_digest() -> None:
    """The same sentence gives the same digest, so that a repeated report is seen to be the same."""
    message, digest = output.message("no such file: caf\u00e9", KEYS)

    assert message.body == "no such file: caf\u00e9".encode()
    assert digest == BodyDigest(len(message.body), output.salted_sha256(message.salt, message.body))
    assert output.message("no such file: caf\u00e9", KEYS) == (message, digest)
