"""The refusal of a command that was called in a way that cannot work."""

USAGE_EXIT = 2


class UsageError(Exception):
    """The command line or a setting is wrong; the message says what to write (exit code 2)."""
