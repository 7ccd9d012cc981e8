"""Write docs/performance.md and its plots from the results in .bench.

Run: python -m bench.publish [--trial]
"""

import argparse
from pathlib import Path
from typing import Final

import msgspec

from bench import plots, report
from bench.measure import Result
from bench.run import RESULTS, ROOT

_ORDER: Final = (
    *("append", "http", "peers-lives", "lists", "peers-lists", "reads", "indexes", "growth"),
    *("rebuild", "pickup", "schedule"),
)


def main() -> None:
    """Write the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trial", action="store_true", help="say that the figures mean nothing")
    args = parser.parse_args()
    found = sorted(RESULTS.glob("*.json"), key=_place)
    results = [msgspec.json.decode(path.read_bytes(), type=Result) for path in found]
    notes = report.sections(Path(__file__).with_name("notes.md").read_text("utf-8"))
    text = report.markdown(results, notes, trial=args.trial, plots="performance")
    plots.draw(results, ROOT / "docs" / "performance")
    (ROOT / "docs" / "performance.md").write_text(text, "utf-8")
    print(f"docs/performance.md tells {len(results)} results")


def _place(path: Path) -> tuple[int, str]:
    return (_ORDER.index(path.stem) if path.stem in _ORDER else len(_ORDER), path.stem)


if __name__ == "__main__":
    main()
