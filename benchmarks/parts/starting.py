"""Measures the time of `daybook --help`, and the time until a service with embedded stores is ready."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks import daybook_process as daybook
from benchmarks.measure import Spread
from benchmarks.plan import Plan
from benchmarks.results import Results

_TIMES, _QUICK_TIMES = 10, 1


def run(plan: Plan, results: Results) -> None:
    times = _QUICK_TIMES if plan.quick else _TIMES
    told = Spread.of([_help() for _ in range(times)])
    results.add("daybook --help", f"{told.text('.2f')} s", "≤ 0.3 s", met=told.median <= 0.3)
    first, again = [], []
    for _ in range(times):
        with daybook.data_directory(plan.folder) as data_dir:
            first.append(_ready(data_dir))
            again.append(_ready(data_dir))
    for name, seconds in (("the first time", first), ("again", again)):
        ready = Spread.of(seconds)
        results.add(
            f"ready with the embedded stores, {name}", f"{ready.text('.2f')} s", "≤ 1.5 s", met=ready.median <= 1.5
        )


def _help() -> float:
    script = Path(sys.executable).with_name("daybook")
    begun = time.perf_counter()
    subprocess.run([script, "--help"], check=True, stdout=subprocess.DEVNULL, timeout=60)
    return time.perf_counter() - begun


def _ready(data_dir: Path) -> float:
    begun = time.perf_counter()
    with daybook.serving(data_dir):
        return time.perf_counter() - begun
