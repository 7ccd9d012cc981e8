"""placeholder."""


def page() -> bytes:
    return b""
