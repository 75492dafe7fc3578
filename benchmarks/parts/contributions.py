"""Measures what keeping each source's contributions costs: imports with and without it, in turn."""

import sqlite3
from contextlib import closing
from pathlib import Path

from benchmarks import daybook_process as daybook
from benchmarks.daybook_process import Imported
from benchmarks.files import DataFile
from benchmarks.measure import BenchmarkError, ratios
from benchmarks.plan import Plan
from benchmarks.results import Results

_MOST_ROWS = 5_000_000
_MB = 1_000_000


def run(plan: Plan, results: Results) -> None:
    """Compare one month, with at most 310 totals, and ten years, with at most 365,300."""
    rows = min(plan.rows, _MOST_ROWS)
    for name, file, most in (
        ("one month", plan.files.month(plan.rows), 1.03),
        ("10 years of 50 methods, a tenth late", plan.files.ten_years(rows, 0.1), 1.15),
        ("10 years of 50 methods, shuffled", plan.files.ten_years(rows, 1.0), 1.15),
    ):
        _compare(plan, results, name, file, most)


def _compare(plan: Plan, results: Results, name: str, file: DataFile, most: float) -> None:
    kept: list[Imported] = []
    not_kept: list[Imported] = []
    stored = 0
    for number in range(plan.rounds):
        for keeps in (True, False) if number % 2 else (False, True):
            imported, found = _import(plan, file, keeps=keeps)
            (kept if keeps else not_kept).append(imported)
            stored = max(stored, found)
            plan.say(
                f"  {name}, {'kept' if keeps else 'not kept'}: {imported.seconds:.2f} s, {_cpu(imported):.2f} s CPU"
            )
    share = ratios([each.seconds for each in kept], [each.seconds for each in not_kept])
    work = ratios([_cpu(each) for each in kept], [_cpu(each) for each in not_kept])
    measured = (
        f"{share.text('.2f')}; CPU {work.text('.2f')}; {stored:,} bytes in the archive; "
        f"peak memory {_peaks(kept)} instead of {_peaks(not_kept)}"
    )
    plan.say(f"  {name}: {measured}")
    results.add(f"import with contributions by without, {name}", measured, f"≤ {most}", met=share.median <= most)


def _import(plan: Plan, file: DataFile, *, keeps: bool) -> tuple[Imported, int]:
    """Import once; return the usage and the bytes of contributions in the archive."""
    with daybook.data_directory(plan.folder) as data_dir:
        imported = daybook.import_files([file.path], data_dir, KeepContributions=str(keeps))
        verdict = daybook.check(data_dir, file)
        if not verdict.exact:
            raise BenchmarkError(f"Daybook's totals of {file.path.name} are not exact: {verdict.text}")
        return imported, _stored_bytes(data_dir)


def _cpu(imported: Imported) -> float:
    return imported.service.cpu_seconds + imported.valkey.cpu_seconds


def _peaks(imports: list[Imported]) -> str:
    service, server = (max(peaks) / _MB for peaks in zip(
        *((each.service.peak_bytes, each.valkey.peak_bytes) for each in imports), strict=True
    ))  # fmt: skip
    return f"{service:.0f} MB, Valkey {server:.0f} MB"


def _stored_bytes(data_dir: Path) -> int:
    with closing(sqlite3.connect(data_dir / "archive.sqlite")) as archive:
        return int(archive.execute("SELECT ifnull(sum(length(Packed)), 0) FROM Contributions").fetchone()[0])
