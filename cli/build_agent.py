"""Builds the agent as one file: `python -m cli.build_agent FILE` in a clone (`make agent-pyz`).

In it are the packages and commands that need nothing but the standard library: what they import is
found by reading them, so that nothing has to be listed. The same sources and the same Python give
the same bytes: the bytecode of that Python is in the file too, so that nothing is compiled at each
start.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import io
import marshal
import os
import sys
import tomllib
import zipfile
from pathlib import Path

from cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
ENTRY = "cli.main"
WHOLE_PACKAGE = "agent"  # it may start parts of itself by their names, which no import shows
_SHEBANG = b"#!/usr/bin/env python3\n"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_READABLE = 0o644 << 16
_EXECUTABLE = 0o755
_HASH_BASED = 1  # the flag in bytecode that says: as it is, without a look at the source
_WITHOUT_REFERENCES = 2  # a version of the format
_MAIN = b"""\
import sys

if sys.version_info < (3, 9):
    sys.exit("cronledger needs Python 3.9 or newer; this is " + sys.version.split()[0])

from cli.main import main

sys.exit(main())
"""


class ForeignImportError(Exception):
    """A module needs something that is not in the standard library; the message names both."""


def modules() -> dict[str, Path]:
    """Return the modules that belong into the file, by name."""
    found = needed_by(ENTRY)
    for path in sorted((ROOT / WHOLE_PACKAGE).glob("**/*.py")):
        found |= needed_by(_name(path))
    for command in COMMANDS:
        try:
            found |= needed_by(command.module)
        except ForeignImportError:
            continue  # a command of the server
    return dict(sorted(found.items()))


def needed_by(name: str) -> dict[str, Path]:
    """Return a module, all that it imports of ours, and the packages that they are in.

    Raises:
        ForeignImportError: Something in them is neither ours nor the standard library's.
    """
    found: dict[str, Path] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        path = _path(current)
        if current in found or path is None:
            continue
        found[current] = path
        package = current.rpartition(".")[0]
        waiting += [package] if package else []
        for imported in _imports(path):
            if (ROOT / imported.partition(".")[0]).is_dir():
                waiting.append(imported)
            elif imported.partition(".")[0] not in sys.stdlib_module_names:
                raise ForeignImportError(f"{current} imports {imported}")
    return found


def archive() -> bytes:
    """Return the file's bytes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    contents: dict[str, bytes | str] = {
        "__main__.py": _MAIN,
        f"{project['name']}-{project['version']}.dist-info/METADATA": named.encode(),
    }
    for path in modules().values():
        name, source = str(path.relative_to(ROOT)), path.read_bytes()
        contents |= {name: source, f"{name}c": _bytecode(source, name)}
    written = io.BytesIO()
    written.write(_SHEBANG)
    # Stored, not packed: what packs differs from machine to machine, and start-up is faster.
    with zipfile.ZipFile(written, "a", zipfile.ZIP_STORED) as opened:
        for name, content in sorted(contents.items()):
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            entry.create_system = 3  # Unix, wherever it is built
            entry.external_attr = _READABLE
            opened.writestr(entry, content)
    return written.getvalue()


def build(file: Path) -> None:
    """Write the file, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.{os.getpid()}")
    new.write_bytes(archive())
    new.chmod(_EXECUTABLE)
    new.replace(file)


def _bytecode(source: bytes, name: str) -> bytes:
    """Return what this Python makes of a source; another version ignores it, and reads the source.

    Without references between objects, which would depend on what else is in memory.
    """
    code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    unchecked = _HASH_BASED.to_bytes(4, "little") + importlib.util.source_hash(source)
    return importlib.util.MAGIC_NUMBER + unchecked + marshal.dumps(code, _WITHOUT_REFERENCES)


def _path(name: str) -> Path | None:
    """Return the file of a module or package of ours; None for a name that is neither."""
    place = ROOT.joinpath(*name.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def _imports(path: Path) -> tuple[str, ...]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.append(node.module)
            found += (f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(found)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
