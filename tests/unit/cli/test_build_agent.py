"""Rules of the agent as one file: what is in it, and that old machines can run it."""

import ast
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.build_agent import ROOT, ForeignImportError, build, modules, needed_by
from tests.support.fake_server import TOKEN, FakeServer, serving

DEADLINE_SECONDS = 20
OLDEST = (3, 9)
MODULES = modules()
# What the standard library got after that, by where it is imported from.
NEWER = {
    "asyncio": {"TaskGroup", "timeout", "Runner", "Barrier"},
    "contextlib": {"aclosing", "chdir"},
    "dataclasses": {"KW_ONLY"},
    "datetime": {"UTC"},
    "enum": {"StrEnum", "ReprEnum", "verify", "member", "nonmember"},
    "hashlib": {"file_digest"},
    "inspect": {"get_annotations", "getmembers_static"},
    "itertools": {"pairwise", "batched"},
    "operator": {"call"},
    "os": {"process_cpu_count", "unshare", "setns", "eventfd", "splice"},
    "sys": {"exception", "orig_argv", "stdlib_module_names"},
    "types": {"EllipsisType", "NoneType", "UnionType", "NotImplementedType"},
    "typing": {
        *("Concatenate", "LiteralString", "Never", "NotRequired", "ParamSpec", "Required", "Self"),
        *(
            "TypeAlias",
            "TypeGuard",
            "Unpack",
            "assert_never",
            "assert_type",
            "override",
            "reveal_type",
        ),
    },
}
NEWER_MODULES = {"tomllib"}
NEWER_NAMES = {"aiter", "anext", "BaseExceptionGroup", "ExceptionGroup", "EncodingWarning"}
NEWER_METHODS = {
    "add_note",
    "bit_count",
    "hardlink_to",
    "get_annotations",
    "is_junction",
    "walk_up",
}
NEWER_OPTIONS = {
    ("zip", "strict"),
    *(("dataclass", name) for name in ("slots", "kw_only", "match_args", "weakref_slot")),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dist") / "cronledger-agent.pyz"
    build(path)
    return path


def pythons() -> list[str]:
    """This Python, and the oldest one if the machine has it."""
    oldest = "python{}.{}".format(*OLDEST)
    found = shutil.which(oldest)
    asked = "import sys; print(sys.version_info[:2])"
    works = found and subprocess.run([found, "-c", asked], capture_output=True, check=False).stdout
    return [sys.executable, *([str(found)] if works == f"{OLDEST}\n".encode() else [])]


@pytest.fixture(params=pythons())
def python(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


def run(python: str, file: Path, *words: str, url: str = "") -> subprocess.CompletedProcess[bytes]:
    """Run the file with nothing but the standard library, as a stranger's machine would."""
    return subprocess.run(
        [python, "-I", "-S", str(file), *words],
        env={
            "CRONLEDGER_URL": url,
            "CRONLEDGER_TOKEN": TOKEN,
            "PATH": "/usr/bin:/bin",
            # Not where others on this machine may have left runs.
            "CRONLEDGER_HOME": str(file.parent / "home"),
            "XDG_STATE_HOME": str(file.parent / "state"),
        },
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def test_the_file_records_a_run(python: str, file: Path, server: FakeServer) -> None:
    """`exec` passes the command through and delivers its record."""
    done = run(
        python, file, "exec", "--job", "j", "--", "sh", "-c", "echo out; exit 3", url=server.url
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"")
    (execution,) = server.executions.values()
    assert (execution.stdout.data, execution.report["exit_code"]) == (b"out\n", 3)


def test_the_file_is_an_agent(python: str, file: Path, server: FakeServer) -> None:
    """`agent` takes an execution, runs it and reports it."""
    execution = server.add("echo out; exit 4")
    with subprocess.Popen(
        [python, "-I", "-S", str(file), "agent", "--agent-id", "here"],
        env={"CRONLEDGER_URL": server.url, "CRONLEDGER_TOKEN": TOKEN, "PATH": "/usr/bin:/bin"},
        stderr=subprocess.PIPE,
    ) as process:
        try:
            server.wait_for(lambda: execution.reports)
            process.send_signal(signal.SIGTERM)
            server.end_polls()
            _, err = process.communicate(timeout=DEADLINE_SECONDS)
        finally:
            process.kill()
    assert (process.returncode, b"Traceback" in err) == (0, False)
    assert (execution.stdout.data, execution.report["exit_code"]) == (b"out\n", 4)


def test_the_file_shows_crontabs_and_executions(
    python: str, file: Path, server: FakeServer, tmp_path: Path
) -> None:
    """Client commands come with it; the wrapped lines call the file itself."""
    crontab = tmp_path / "jobs"
    crontab.write_text("@daily backup\n")
    shown = run(python, file, "crontab", str(crontab))
    assert f"+@daily {file} exec --job backup --expect @daily --" in shown.stdout.decode()
    none = {"total": 0, "total_is_exact": True}
    server.replies["list"] = [(200, {"data": [], "pagination": none})]
    assert run(python, file, "list", url=server.url).stdout == b"no executions match\n"


def test_the_file_says_what_it_has(python: str, file: Path) -> None:
    """Its help lists its own commands; the server's are refused with a sentence."""
    shown = run(python, file, "--help").stdout.decode()
    assert "exec" in shown
    assert "serve" not in shown
    refused = run(python, file, "serve")
    assert refused.returncode == 2
    assert refused.stderr.startswith(b"cronledger: ")
    assert run(python, file, "--version").stdout.split() == [b"cronledger", version()]


def version() -> bytes:
    """Return what the project says that it is."""
    line = next(
        line
        for line in (ROOT / "pyproject.toml").read_text().splitlines()
        if line.startswith("version")
    )
    return line.split('"')[1].encode()


def test_the_same_sources_give_the_same_bytes(file: Path, tmp_path: Path) -> None:
    """Two builds are equal, whenever and wherever they are made; the file can be started."""
    build(tmp_path / "again")
    assert file.read_bytes() == (tmp_path / "again").read_bytes()
    assert file.stat().st_mode & 0o777 == 0o755
    with zipfile.ZipFile(file) as opened:
        assert {entry.date_time[0] for entry in opened.infolist()} == {1980}


def test_what_is_in_it_is_found_by_reading() -> None:
    """The whole agent and what it stands on; nothing of the server, and nobody else's."""
    names = set(MODULES)
    assert {"agent.loop", "cli.exec_command", "cli.crontab_command", "domain.names"} <= names
    assert {name.partition(".")[0] for name in names} == {"agent", "cli", "domain"}
    assert {"cli.serve", "cli.token", "cli.build_agent"} & names == set()
    with pytest.raises(ForeignImportError, match="imports"):
        needed_by("cli.serve")


@pytest.mark.parametrize("name", MODULES)
def test_each_module_can_be_read_by_the_oldest_python(name: str) -> None:
    """Neither syntax nor parts of the standard library that came later."""
    source = MODULES[name].read_text()
    tree = ast.parse(source, feature_version=OLDEST)
    assert list(newer_parts(tree)) == []


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import UTC",
        "import datetime\ndatetime.UTC",
        "import tomllib",
        "zip(a, b, strict=True)",
        "@dataclass(slots=True)\nclass A: pass",
        "isinstance(a, int | str)",
        "Answer = dict | None",
        "def f(a: int | None): pass",
        "async def f(): anext(a)",
        "error.add_note('x')",
    ],
)
def test_newer_parts_are_found(source: str) -> None:
    """The rule above sees what it is for."""
    assert list(newer_parts(ast.parse(source)))
    assert not list(
        newer_parts(ast.parse("from __future__ import annotations\na: int | None = b | c"))
    )


def newer_parts(tree: ast.Module) -> Iterator[str]:
    """Yield what in a module needs a newer Python when it runs."""
    lazy = any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body
    )
    unread = set(annotations(tree)) if lazy else set()
    for node in ast.walk(tree):
        where = f"line {getattr(node, 'lineno', 0)}: "
        match node:
            case ast.Import():
                yield from (where + one.name for one in node.names if one.name in NEWER_MODULES)
            case ast.ImportFrom():
                late = NEWER.get(str(node.module), set())
                yield from (where + one.name for one in node.names if one.name in late)
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in NEWER.get(
                module, ()
            ):
                yield where + name
            case ast.Attribute(attr=name) | ast.Name(id=name) if (
                name in NEWER_METHODS | NEWER_NAMES
            ):
                yield where + name
            case ast.Call(func=ast.Name(id=function)):
                yield from (
                    where + str(one.arg)
                    for one in node.keywords
                    if (function, one.arg) in NEWER_OPTIONS
                )
            case ast.BinOp(op=ast.BitOr()) if node not in unread and is_union(node):
                yield where + "a union of types"


def annotations(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield all parts of annotations."""
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if isinstance(part := getattr(node, name, None), ast.AST):
                yield from ast.walk(part)


def is_union(node: ast.BinOp) -> bool:
    """True if one side looks like a type; numbers and flags are written in other ways."""
    for side in (node.left, node.right):
        match side:
            case ast.Constant(value=None) | ast.Subscript():
                return True
            case ast.Name(id=name) if name in {
                "str",
                "int",
                "bytes",
                "float",
                "dict",
                "list",
                "tuple",
                "set",
            }:
                return True
            case ast.Name(id=name) if name[0].isupper() and not name.isupper():
                return True
            case _:
                continue
    return False


def test_the_python_that_built_the_file_compiles_nothing(file: Path) -> None:
    """Its bytecode is in the file: a line of a crontab does not wait for the compiler."""
    asked = "import sys; sys.path.insert(0, sys.argv[1]); import cli.exec_command as one"
    shown = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"{asked}; print(one.__file__)", str(file)],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_SECONDS,
    ).stdout
    assert shown == f"{file}/cli/exec_command.pyc\n"
