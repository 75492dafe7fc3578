"""Measures Daybook and other systems that do the same job, on the same generated files, in one run."""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import chart, report
from benchmarks.files import Files
from benchmarks.measure import BenchmarkError
from benchmarks.parts import (
    contributions,
    dumps,
    held_up,
    import_speed,
    json_elements,
    many_clients,
    many_files,
    scale,
    stages,
    starting,
    stats,
    ten_years,
)
from benchmarks.plan import Plan, say
from benchmarks.results import Results

DOCS = Path(__file__).parent.parent / "docs"

Part = Callable[[Plan, Results], None]
PARTS: dict[str, Part] = {
    "import": import_speed.run,
    "wide": scale.run_wide,
    "huge": scale.run_huge,
    "stages": stages.run,
    "files": many_files.run,
    "clients": many_clients.run,
    "scripts": held_up.run,
    "json": json_elements.run,
    "stats": stats.run,
    "busy": stats.run_while_importing,
    "years": ten_years.run,
    "dumps": dumps.run,
    "contributions": contributions.run,
    "start": starting.run,
}
NOT_QUICK = frozenset({"contributions", "files", "clients", "stages", "wide", "huge", "busy", "years"})
ON_REQUEST = frozenset({"huge"})
_ROWS, _ROUNDS = 10_000_000, 5
_QUICK_ROWS, _QUICK_ROUNDS = 1_000_000, 1
_TERMINATED = 128 + signal.SIGTERM


def main() -> None:
    """Run the benchmarks. Ends with 1 when a part failed; a missed target is not a failure."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = options.rows or (_QUICK_ROWS if options.quick else _ROWS)
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    files = Files(options.folder, say)
    plan = Plan(options.folder, files, rows, rounds, quick=options.quick, peers_python=options.peers_python)
    description = report.describe(plan)
    results = Results()
    for name in options.only or _parts(quick=options.quick, huge=options.huge):
        _measure(name, plan, results)
    report.show(results)
    docs = options.docs or (None if options.quick or options.only else DOCS)
    if docs is not None:
        (docs / "benchmarks.svg").write_text(chart.draw(results.speeds, plan.rows))
        report.write(plan, results, description, docs / "benchmarks.md", "benchmarks.svg")
    sys.exit(1 if results.problems else 0)


def _parts(*, quick: bool, huge: bool) -> list[str]:
    left_out = (NOT_QUICK if quick else frozenset()) | (frozenset() if huge else ON_REQUEST)
    return [name for name in PARTS if name not in left_out]


def _measure(name: str, plan: Plan, results: Results) -> None:
    """Run one part. Note a failure and go on."""
    say(f"{name}:")
    begun = time.monotonic()
    try:
        PARTS[name](plan, results)
    except (BenchmarkError, OSError) as error:
        results.problems.append(f"{name}: {error}")
        say(f"  failed: {error}")
    say(f"  {name} took {time.monotonic() - begun:.0f} s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="only the main parts, a million rows, one round; writes no docs")
    add("--huge", action="store_true", help="also a hundred million rows (4.6 GB of disk)")
    add("--rows", type=int, metavar="N", help=f"rows of the month's file ({_ROWS:,}; quick {_QUICK_ROWS:,})")
    add("--rounds", type=int, metavar="R", help=f"number of rounds ({_ROUNDS}; quick {_QUICK_ROUNDS})")
    add("--only", nargs="+", choices=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}; writes no docs")
    add("--docs", type=Path, metavar="FOLDER", help="write benchmarks.md and benchmarks.svg to this folder in any case")
    add(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "daybook-bench",
        help="folder for generated files, which the next run uses again, and for data directories (%(default)s)",
    )
    add(
        "--peers-python",
        default=sys.executable,
        metavar="PYTHON",
        help="interpreter with the packages of the other systems (default: this one)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
