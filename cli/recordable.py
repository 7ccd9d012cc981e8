"""What a ledger does not take of a run is recorded as far as it does: no record would be worse."""

from __future__ import annotations

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# As the server has them (api/wire.py). All words together also have to fit into one request, in
# which a character may be six bytes.
NAME_CHARACTERS_MAX = 200
WORD_CHARACTERS_MAX = 100_000
COMMAND_CHARACTERS_MAX = 1_000_000
_SHOWN_CHARACTERS = 1000


def recordable_name(name: str, warn: Callable[[str], None]) -> str:
    """Return a job's name in a form that the ledger takes; say so if it is another."""
    shown = "".join(character if _is_plain(character) else " " for character in name)
    if len(shown) > NAME_CHARACTERS_MAX:
        shown = f"{shown[: NAME_CHARACTERS_MAX - 13]}.{_digest([name])[:12]}"
    shown = shown if shown.strip(" ") else "unnamed"
    if shown != name:
        warn(
            f"the job is recorded as {shown!r}: a job's name has 1 to {NAME_CHARACTERS_MAX} "
            "characters, and no line breaks or the like"
        )
    return shown


def recordable_command(
    words: Sequence[str], warn: Callable[[str], None], *, is_exact: bool = True
) -> list[str]:
    """Return a command in a form that the ledger takes; say so if that is not all of it.

    `is_exact` says whether `words` are what runs, or its bytes made text. What is only the
    beginning, or other bytes, must never be run: its first word, which says so, is no program.
    """
    if not is_exact:
        warn(
            "the command holds bytes that are not UTF-8: what is recorded shows others in their "
            "place, and cannot be run again from there"
        )
        note = f"(not UTF-8: {len(words)} words; as text they read:)"
        return [note, " ".join(words)[:_SHOWN_CHARACTERS]]
    total = sum(map(len, words))
    longest = max(map(len, words))
    if total <= COMMAND_CHARACTERS_MAX and longest <= WORD_CHARACTERS_MAX:
        return list(words)
    warn(
        f"only the beginning of the command is recorded: it has {total} characters, {longest} of "
        f"them in one word, and a ledger takes {COMMAND_CHARACTERS_MAX} and {WORD_CHARACTERS_MAX}. "
        "It cannot be run again from there"
    )
    note = f"(cut: {len(words)} words, {total} characters, SHA-256 {_digest(words)}; they begin:)"
    return [note, " ".join(words)[:_SHOWN_CHARACTERS]]


def _is_plain(character: str) -> bool:
    return character >= " " and character != "\x7f"


def _digest(words: Sequence[str]) -> str:
    import hashlib  # noqa: PLC0415 - seldom needed

    return hashlib.sha256("\0".join(words).encode("utf-8", "replace")).hexdigest()
