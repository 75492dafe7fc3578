"""Prints the results as tables and writes them to `docs/benchmarks.md`."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.machine import machine
from benchmarks.plan import Plan
from benchmarks.results import Finding, Results, Speed

PROFILE_MARK = "## Where the time goes"
"""Heading from which on the file is written by hand and kept."""
_WIDE = 200
_NO_PROFILE = f"{PROFILE_MARK}\n\nNot written yet. This section is kept when the rest is measured again.\n"
_SPEED_COLUMNS = ("", "rows/s", "Daybook's by it", "peak memory", "keeps", "exact")
_FINDING_COLUMNS = ("", "measured", "target", "met")
_HOW_IT_IS_MEASURED = """\
Every system gets the same generated file (`daybook generate`), which is in the page cache; all run in turn, round
after round. Rates are medians with the lowest and the highest. A ratio is taken within each round, so on a busy
machine read the ratios.

All times are those of the work alone, without the start of the interpreter and the loading of packages. Daybook's is
that of `daybook import`: start of the embedded Valkey (append-only file, synced at every write) and of the summing
processes, the check of every row, commits, the last dump into SQLite, the server's end. None of the others checks rows.
Peak memory is the largest resident size, mapped pages of files included; Daybook's is that of all its processes
but the server, added up.

Each answer is compared with sums in whole cents that share no code with any of them.\
"""


def show(results: Results) -> None:
    """Print the results to the terminal; in a pipe, in full width."""
    console = Console()
    if not console.is_terminal:
        console.width = _WIDE
    for title, columns, rows in (
        ("import", _SPEED_COLUMNS, [speed_row(speed) for speed in results.speeds]),
        ("targets", _FINDING_COLUMNS, [finding_row(finding) for finding in results.findings]),
    ):
        if rows:
            table = Table(*columns, title=title)
            for row in rows:
                table.add_row(*map(Text, row))
            console.print(table)
    for name, reason in results.absent.items():
        console.print(f"{name}: {reason}", markup=False)
    for problem in results.problems:
        console.print(f"failed: {problem}", markup=False)


def write(plan: Plan, results: Results, description: Sequence[tuple[str, str]], path: Path, chart: str) -> None:
    """Write the measured part of the file, and keep the part written by hand."""
    _, mark, profile = path.read_text().partition(PROFILE_MARK) if path.exists() else ("", "", "")
    by_hand = mark + profile if mark else _NO_PROFILE
    versions = sorted({version for version in results.versions.values() if version})
    parts = [
        "# Benchmarks",
        f"![Rows a second of each system]({chart})",
        _table(_FINDING_COLUMNS, [finding_row(finding) for finding in results.findings]),
        f"## Import of {plan.rows:,} rows of one month",
        _table(_SPEED_COLUMNS, [speed_row(speed) for speed in results.speeds]),
        *_slow_ones(plan, results),
        *[f"{name}: {reason}." for name, reason in results.absent.items()],
        *[f"Failed: {problem}" for problem in results.problems],
        "## How it is measured",
        _HOW_IT_IS_MEASURED,
        "`make bench BENCH=--huge` measures all of it, `make bench` all but the hundred million rows,"
        " `make bench-quick` the main parts with a million rows; options are in `python -m benchmarks --help`."
        " The programs are in `benchmarks/`.",
        _table(("machine", ""), [*description, ("other systems", ", ".join(versions)), ("rounds", str(plan.rounds))]),
        by_hand.rstrip("\n"),
    ]
    path.write_text("\n\n".join(part for part in parts if part) + "\n")


def speed_row(speed: Speed) -> tuple[str, ...]:
    share = "" if speed.name == "Daybook" else speed.share.text(",.2f")
    return speed.name, speed.rate.text(",.0f"), share, speed.memory, speed.keeps, speed.exact


def finding_row(finding: Finding) -> tuple[str, ...]:
    met = {True: "yes", False: "no", None: ""}[finding.met]
    return finding.what, finding.measured, finding.target, met


def _slow_ones(plan: Plan, results: Results) -> list[str]:
    """Return a sentence about the systems that got fewer rows."""
    fewer = [f"{speed.name} {speed.rows:,}" for speed in results.speeds if speed.rows != plan.rows]
    return [f"Measured on the file's first rows only, and scaled: {', '.join(fewer)}."] if fewer else []


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines) if rows else ""


def describe(plan: Plan) -> list[tuple[str, str]]:
    """Return the description of the machine; call it before anything is measured."""
    return machine(plan.folder)
