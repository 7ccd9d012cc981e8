"""What must hold of every ledger, whatever was done to it."""


def check(conninfo: str) -> None:
    """placeholder."""
