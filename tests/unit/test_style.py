"""Style with numbers, and documents that tell the truth."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.settings import PREFIX, Settings
from cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
MODULE_NAME_LETTERS_MIN = 3
# Names that say nothing about what is inside.
EMPTY_NAMES = {
    "util",
    "utils",
    "common",
    "helper",
    "helpers",
    "manager",
    "managers",
    "base",
    "misc",
}
# Addresses of package registries and paths of one machine are of no use to anyone else. Written in
# two parts, since this file is searched too.
FOREIGN = [
    *("pypi" + ".org", "python" + "hosted", "npmjs" + ".org", "debian" + ".org", "crates" + ".io"),
    *("golang" + ".org", "/wo" + "rk/", "/opt/" + "wheels", "/opt/" + "pypi", ".py" + "env"),
]
# What client commands read, beside the server's settings.
CLIENT_VARIABLES = {"CRONLEDGER_HOME", "CRONLEDGER_URL", "CRONLEDGER_TOKEN"}


@cache
def tracked_files() -> list[Path]:
    """Return what stands in the repository, or will with the next commit."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def sources(*suffixes: str) -> list[Path]:
    """Return the tracked files with one of these suffixes."""
    return [path for path in tracked_files() if path.suffix in suffixes]


def named(path: Path) -> str:
    """Return the path as a reader of a failure would look for it."""
    return str(path.relative_to(ROOT))


def documents() -> dict[str, str]:
    """Return the texts for users and developers by name (decisions are history)."""
    return {
        named(path): path.read_text()
        for path in sources(".md")
        if "decisions" not in path.parts and path.parent in {ROOT, ROOT / "docs"}
    }


def code_in(text: str) -> Iterator[str]:
    """Yield the lines of a Markdown text's code blocks, and its code spans."""
    fence = None
    for line in text.splitlines():
        if line.startswith("```"):
            fence = line[3:] if fence is None else None
        elif fence is not None:
            yield line
        else:
            yield from re.findall(r"`([^`]+)`", line)


def project() -> dict[str, Any]:
    """Return what pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_functions_fit_on_a_screen() -> None:
    """No function has more than 70 lines."""
    long = [
        f"{named(path)}:{node.lineno} {node.name}"
        for path in sources(".py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
    ]

    assert long == []


def test_files_can_be_read_in_one_sitting() -> None:
    """No source file has more than 400 lines."""
    long = [
        named(path)
        for path in sources(".py", ".sql")
        if len(path.read_bytes().splitlines()) > FILE_LINES_MAX
    ]

    assert long == []


def test_module_names_say_what_is_inside() -> None:
    """No module or folder is called utils or the like, or has a name of one or two letters."""
    empty = [
        named(path)
        for path in sources(".py")
        for name in (*path.relative_to(ROOT).parent.parts, path.stem)
        if name in EMPTY_NAMES or len(name) < MODULE_NAME_LETTERS_MIN
    ]

    assert empty == []


def test_nothing_points_to_one_machine_or_registry() -> None:
    """No tracked file names a package registry's host or a path of the machine it was made on."""
    foreign = [
        f"{named(path)}: {word}"
        for path in tracked_files()
        for word in FOREIGN
        if word.encode() in path.read_bytes()
    ]

    assert foreign == []


def test_every_package_is_placed() -> None:
    """Each top-level package is installed, type-checked, and bound by the import contracts."""
    packages = {
        path.parent.name
        for path in sources(".py")
        if path.name == "__init__.py" and path.parent.parent == ROOT
    }
    tools = project()["tool"]
    never_installed = {"tests", "bench"}

    assert set(tools["mypy"]["packages"]) == packages
    assert set(tools["importlinter"]["root_packages"]) == packages - never_installed
    assert (
        set(tools["hatch"]["build"]["targets"]["wheel"]["packages"]) == packages - never_installed
    )


def test_documented_commands_exist_and_commands_are_documented() -> None:
    """The documents show every subcommand of `cronledger`, and none that does not exist."""
    shown = {
        command
        for text in documents().values()
        for code in code_in(text)
        for command in re.findall(r"(?:^|[ /])cronledger ([a-z][a-z-]*)", code)
    }

    assert shown == {command.name for command in COMMANDS}


def test_documented_targets_exist() -> None:
    """Each `make TARGET` in the documents is one of the Makefile's, and explained by `make`."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {
        target
        for text in documents().values()
        for code in code_in(text)
        for target in re.findall(r"^make ([a-z-]+)", code)
    }

    assert shown <= targets


def test_settings_are_documented_with_their_defaults() -> None:
    """docs/settings.md lists each setting of the server with its true default, and no other."""
    rows = re.findall(r"^\| `(CRONLEDGER_\w+)` \| ([^|]*?) \|", _settings_text(), re.MULTILINE)
    known = {
        PREFIX + setting.name.upper(): _shown(setting.default)
        for setting in msgspec.structs.fields(Settings)
        if not setting.required
    }

    assert {name: default for name, default in rows if name in known} == known
    assert {name for name, _ in rows} == known.keys() | CLIENT_VARIABLES


def _settings_text() -> str:
    return (ROOT / "docs" / "settings.md").read_text()


def _shown(default: object) -> str:
    if default is None:
        return "none"
    if isinstance(default, bool):
        return "yes" if default else "no"
    return f"`{default}`"


def test_documents_name_no_unknown_variable() -> None:
    """Each CRONLEDGER_ variable in the documents and the Makefile is in docs/settings.md."""
    texts = [*documents().values(), (ROOT / "Makefile").read_text()]
    shown = {name for text in texts for name in re.findall(r"CRONLEDGER_[A-Z_]+[A-Z]", text)}

    assert shown <= set(re.findall(r"`(CRONLEDGER_\w+)`", _settings_text()))


@pytest.mark.parametrize("name", sorted(documents()))
def test_links_between_documents_hold(name: str) -> None:
    """Each relative link in a document leads to a file."""
    folder = (ROOT / name).parent
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", documents()[name])

    assert [link for link in links if not (folder / link).exists()] == []
