"""Run the benchmarks one after another, each bounded in time, then write docs/performance.md.

Each is a process of its own with its temporary files in one folder, which is removed at the end,
whatever happens. One that fails or takes too long is named, and the others go on; the report has
what was measured, also by an earlier run, since results stay in .bench.

Run: python -m bench.run [--peers] [--quick | --large] [--only NAME ...]
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from msgspec import Struct

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / ".bench"
_GRACE_SECONDS: Final = 60  # to stop servers and remove files


class Benchmark(Struct):
    """One module: its options by default, for a trial, and on the largest ledgers."""

    module: str
    result: str
    minutes_max: float
    usual: tuple[str, ...] = ()
    quick: tuple[str, ...] = ("--rounds", "1", "--seconds", "0.5")
    large: tuple[str, ...] | None = None


_SMALL_READS = ("--sizes", "1000", "10000", "--passes", "10", "--rounds", "1", "--seconds", "0.5")
_LARGE_READS = ("--sizes", "100000", "1000000", "5000000")

OURS: Final = {
    "append": Benchmark("bench.append", "append.json", 5),
    "http": Benchmark("bench.http", "http.json", 5),
    "pickup": Benchmark("bench.pickup", "pickup.json", 3, quick=("--rounds", "20")),
    "schedule": Benchmark(
        "bench.schedule", "schedule.json", 5, quick=("--jobs", "500", "--rounds", "1")
    ),
    "exec": Benchmark("bench.exec", "exec.json", 3, quick=("--rounds", "5")),
    "lists": Benchmark(
        "bench.lists", "lists.json", 5, quick=("--count", "1000", "--rounds", "1", "--seconds", "1")
    ),
    "reads": Benchmark(
        *("bench.reads", "", 40), usual=("--passes", "50"), quick=_SMALL_READS, large=_LARGE_READS
    ),
    "growth": Benchmark(
        "bench.growth", "growth.json", 10, quick=("--lives", "500", "--rounds", "20")
    ),
    "rebuild": Benchmark(
        *("bench.rebuild", "rebuild.json", 20),
        usual=("--events", "10000", "--events", "100000", "--events", "1000000"),
        quick=("--events", "3000", "--rounds", "1", "--slice", "300"),
        large=(
            *("--events", "100000", "--events", "1000000", "--events", "5000000"),
            *("--beside", "1000000"),
        ),
    ),
}
PEERS: Final = {
    "peers": Benchmark(
        "bench.peers", "", 20, quick=("--count", "2000", "--rounds", "1", "--seconds", "1")
    ),
}


def main() -> None:
    """Run what was asked for and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", action="store_true", help="others' servers and queues instead")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a trial: minutes, figures of no use")
    size.add_argument("--large", action="store_true", help="up to 5 million rows; takes an hour")
    parser.add_argument("--only", nargs="+", choices=[*OURS, *PEERS], metavar="NAME")
    args = parser.parse_args()
    # Also where a shell made SIGINT ignored, as it does for what it runs in the background: the
    # benchmarks are stopped with it, and to end this one must end them.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    every = PEERS if args.peers else OURS
    chosen = {name: (OURS | PEERS)[name] for name in args.only or every}
    failed = []
    with tempfile.TemporaryDirectory(prefix="cronledger-bench-", ignore_cleanup_errors=True) as tmp:
        Path(tmp).chmod(0o711)  # as root, PostgreSQL runs as another user, who has to get in
        for name, benchmark in chosen.items():
            print(f"\n== {name} (at most {benchmark.minutes_max:g} minutes) ==", flush=True)
            began = time.monotonic()
            if not _run(benchmark, _options(benchmark, args), Path(tmp)):
                failed.append(name)
            print(f"== {name}: {time.monotonic() - began:.0f} s ==", flush=True)
    words = [sys.executable, "-m", "bench.publish", *(["--trial"] if args.quick else [])]
    subprocess.run(words, cwd=ROOT, check=True)
    if failed:
        sys.exit(f"these failed or took too long: {', '.join(failed)}")


def _options(benchmark: Benchmark, args: argparse.Namespace) -> tuple[str, ...]:
    if args.quick:
        return benchmark.quick
    if args.large and benchmark.large is not None:
        return benchmark.large
    return benchmark.usual


def _run(benchmark: Benchmark, options: tuple[str, ...], tmp: Path) -> bool:
    """Run one benchmark; True if it ended well and in time. Nothing of it is left running."""
    RESULTS.mkdir(exist_ok=True)
    words = [sys.executable, "-m", benchmark.module, *options]
    process = subprocess.Popen(
        [*words, "--json", str(RESULTS / benchmark.result)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp)},
        start_new_session=True,  # so that all that it starts can be ended together
    )
    try:
        return process.wait(benchmark.minutes_max * 60) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        _end(process)
        for left in tmp.iterdir():
            shutil.rmtree(left, ignore_errors=True)


def _end(process: "subprocess.Popen[bytes]") -> None:
    # SIGINT is KeyboardInterrupt: the benchmark stops its servers itself.
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            if process.poll() is None:
                os.killpg(process.pid, number)
                process.wait(_GRACE_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    main()
