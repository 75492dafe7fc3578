"""Measures what keeping each source's contributions costs: imports with and without it, in turn."""

import sqlite3
from contextlib import closing
from pathlib import Path

from benchmarks import daybook_process as daybook
from benchmarks.files import DataFile
from benchmarks.measure import BenchmarkError, ratios
from benchmarks.plan import Plan
from benchmarks.results import Results

_MOST_ROWS = 5_000_000
_MB = 1_000_000


def run(plan: Plan, results: Results) -> None:
    rows = min(plan.rows, _MOST_ROWS)
    for name, file, most in (
        ("one month", plan.files.month(plan.rows), 0.03),
        ("10 years of 50 methods, a tenth late", plan.files.ten_years(rows, 0.1), 0.15),
        ("10 years of 50 methods, shuffled", plan.files.ten_years(rows, 1.0), 0.15),
    ):
        _compare(plan, results, name, file, most)


def _compare(plan: Plan, results: Results, name: str, file: DataFile, most: float) -> None:
    seconds: dict[bool, list[float]] = {True: [], False: []}
    memory: dict[bool, float] = {True: 0, False: 0}
    stored = 0
    for number in range(plan.rounds):
        for keeps in (True, False) if number % 2 else (False, True):
            with daybook.data_directory(plan.folder) as data_dir:
                ran = daybook.import_files([file.path], data_dir, KeepContributions=str(keeps))
                verdict = daybook.check(data_dir, file)
                stored = _stored_bytes(data_dir) if keeps else stored
            if not verdict.exact:
                raise BenchmarkError(f"Daybook's totals of {file.path.name} are not exact: {verdict.text}")
            seconds[keeps].append(ran.seconds)
            memory[keeps] = max(memory[keeps], ran.service.peak_bytes / _MB)
            plan.say(
                f"  {name}, {'kept' if keeps else 'not kept'}: {ran.seconds:.2f} s,"
                f" {ran.service.peak_bytes / _MB:.0f} MB, Valkey {ran.valkey.peak_bytes / _MB:.0f} MB"
            )
    share = ratios(seconds[True], seconds[False])
    measured = (
        f"{share.text('.2f')}; {stored:,} bytes in the archive; {memory[True]:.0f} MB instead of {memory[False]:.0f} MB"
    )
    plan.say(f"  {name}: {measured}")
    results.add(
        f"import with contributions by without, {name}", measured, f"≤ {1 + most}", met=share.median <= 1 + most
    )


def _stored_bytes(data_dir: Path) -> int:
    with closing(sqlite3.connect(data_dir / "archive.sqlite")) as archive:
        return int(archive.execute("SELECT ifnull(sum(length(Packed)), 0) FROM Contributions").fetchone()[0])
