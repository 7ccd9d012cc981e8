"""What every command ends with: its exit codes, and what it says of a failure."""

REFUSED_EXIT = 1
USAGE_EXIT = 2
UNREACHABLE_EXIT = 3
NOT_AUTHORISED_EXIT = 4


class UsageError(Exception):
    """The command line or a setting is wrong; the message says what to write (exit code 2)."""


def sentence(error: OSError) -> str:
    """Return what the system says of a failure, and of which file."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"
