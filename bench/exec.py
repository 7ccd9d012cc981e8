"""What `cronledger exec -- true` adds to `true`, with a server and with nothing at its address.

The contenders take turns, each a new process, over loopback against `cronledger serve` as anyone
starts it. The time is from the moment before the start to the moment after the end is known; the
CPU time is that of the process and all that it has started and waited for, which does not depend on
what else the machine does. Beside them: an interpreter that does nothing.

Run: python -m bench.exec [--rounds 50] [--json FILE]
"""

import argparse
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from bench.http import served
from bench.measure import Measure, Ratio, machine, write_result

_WARM_UP = 3  # rounds that come first and do not count
_PLAIN, _PYTHON, _UP, _DOWN = "true", "python -c pass", "exec, server up", "exec, server down"
# Nothing listens on the port of the protocol `discard`, and no Python waits for it there.
_NOBODY = "http://127.0.0.1:9"
_GOALS_MS = {_UP: 60.0, _DOWN: 100.0}


class _Contender(Struct):
    argv: list[str]
    environment: dict[str, str]
    seconds: list[float] = []
    cpu_seconds: list[float] = []


def _run(contender: _Contender, nowhere: int) -> tuple[float, float]:
    """Run it once; return the seconds that it took and those of CPU."""
    began = time.perf_counter()
    pid = os.posix_spawnp(
        contender.argv[0],
        contender.argv,
        contender.environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, nowhere, number) for number in range(3)],
    )
    _, status, used = os.wait4(pid, 0)
    took = time.perf_counter() - began
    if status != 0:
        raise RuntimeError(f"{contender.argv} ended with status {status}")
    return took, used.ru_utime + used.ru_stime


def _contenders(home: Path, url: str, token: str) -> dict[str, _Contender]:
    plain = {name: value for name, value in os.environ.items() if "CRONLEDGER" not in name}
    program = str(Path(sys.executable).with_name("cronledger"))
    ours = [program, "exec", "--job", "bench", "--", "true"]

    def told(address: str, folder: str) -> dict[str, str]:
        (home / folder).mkdir()
        known = {"CRONLEDGER_URL": address, "CRONLEDGER_TOKEN": token}
        return {**plain, **known, "CRONLEDGER_HOME": str(home / folder)}

    return {
        _PLAIN: _Contender(["true"], plain),
        _PYTHON: _Contender([sys.executable, "-c", "pass"], plain),
        _UP: _Contender(ours, told(url, "up")),
        _DOWN: _Contender(ours, told(_NOBODY, "down")),
    }


def _measure(contenders: Mapping[str, _Contender], rounds: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(rounds + _WARM_UP):
        for contender in contenders.values():
            took, cpu = _run(contender, nowhere)
            if number >= _WARM_UP:
                contender.seconds.append(took)
                contender.cpu_seconds.append(cpu)
    os.close(nowhere)


def _added_ms(values: Sequence[float], plain: Sequence[float]) -> list[float]:
    return [(one - other) * 1e3 for one, other in zip(values, plain, strict=True)]


def _report(contenders: Mapping[str, _Contender], path: Path | None) -> None:
    plain = contenders[_PLAIN]
    measures, ratios = [], []
    print(f"{'adds to `true`, in ms':<22} {'p50':>8} {'p90':>8}   {'CPU p50':>8} {'CPU min':>8}")
    for name, contender in contenders.items():
        if contender is plain:
            continue
        took = _added_ms(contender.seconds, plain.seconds)
        cpu = _added_ms(contender.cpu_seconds, plain.cpu_seconds)
        p90 = statistics.quantiles(took, n=10)[8]
        print(
            f"{name:<22} {statistics.median(took):8.1f} {p90:8.1f}   "
            f"{statistics.median(cpu):8.1f} {min(cpu):8.1f}"
        )
        measures += [Measure(name, "ms", took), Measure(f"{name}, CPU", "ms", cpu)]
        if name in _GOALS_MS:
            goal = _GOALS_MS[name]
            share = statistics.median(took) / goal
            ratios.append(Ratio(f"{name}: p50 / {goal:g} ms", [share], goal=1, at_least=False))
    print()
    write_result(
        path,
        name="exec",
        what="What `cronledger exec --job bench -- true` adds to `true`, with the server up (the "
        "record is complete when it returns) and with nothing at its address (the record is "
        "durable in the spool), each a new process, in turns. CPU is that of the process and all "
        "that it has started.",
        measures=measures,
        ratios=ratios,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the values there")
    args = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="cronledger-bench-"))
    server, url, token = served(home)
    try:
        machine([])
        contenders = _contenders(home, url, token)
        _measure(contenders, args.rounds)
        _report(contenders, args.json)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
