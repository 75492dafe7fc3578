"""Ten thousand small files in one folder: how long their import takes, and what they cost while they rest."""

import json
import time
from pathlib import Path

import psutil
import redis

from benchmarks import daybook_process as daybook
from benchmarks.files import DataFile
from benchmarks.measure import BenchmarkError
from benchmarks.plan import Plan
from benchmarks.results import Results

_FILES, _QUICK_FILES, _ROWS = 10_000, 1_000, 100
_MOST_SECONDS, _MOST_AT_REST, _MOST_DESCRIPTORS = 60, 0.02, 160
_SETTLE_SECONDS, _REST_SECONDS = 15.0, 30.0


def run(plan: Plan, results: Results) -> None:
    number = _QUICK_FILES if plan.quick else _FILES
    whole = plan.files.month(number * _ROWS)
    folder = _split(whole, plan.folder / f"{whole.path.stem}-in-{number}", number)
    with daybook.data_directory(plan.folder) as data_dir:
        begun = time.perf_counter()
        with daybook.serving(data_dir, CsvFilePath=folder, CutOffDays=36_500) as service:
            process = psutil.Process(service.pid)
            descriptors = 0
            while _applied(service) < number * _ROWS:
                descriptors = max(descriptors, process.num_fds())
                time.sleep(0.2)
            seconds = time.perf_counter() - begun
            time.sleep(_SETTLE_SECONDS)
            before = sum(process.cpu_times()[:2])
            time.sleep(_REST_SECONDS)
            share = (sum(process.cpu_times()[:2]) - before) / _REST_SECONDS
            begun = time.perf_counter()
        stopped = time.perf_counter() - begun
        verdict = daybook.check(data_dir, whole)
    if not verdict.exact:
        raise BenchmarkError(f"the totals of {number} files are wrong: {verdict}")
    what = f"{number:,} files of {_ROWS} rows"
    results.add(f"{what}, imported", f"{seconds:.0f} s", f"≤ {_MOST_SECONDS} s", met=seconds <= _MOST_SECONDS)
    met = share <= _MOST_AT_REST
    results.add(f"{what}, processor at rest", f"{share:.1%}", f"≤ {_MOST_AT_REST:.0%} of a core", met=met)
    met = descriptors <= _MOST_DESCRIPTORS
    results.add(f"{what}, open descriptors at most", f"{descriptors}", f"≤ {_MOST_DESCRIPTORS}", met=met)
    results.add(f"{what}, stop", f"{stopped:.1f} s")


def _split(whole: DataFile, folder: Path, number: int) -> Path:
    """Write consecutive pieces of a file, each with the header."""
    draft = folder.with_suffix(".draft")
    if not folder.exists():
        draft.mkdir(exist_ok=True)
        header, *lines = whole.path.read_bytes().splitlines(keepends=True)
        for piece in range(number):
            rows = lines[piece * _ROWS : (piece + 1) * _ROWS]
            (draft / f"{piece:05}.csv").write_bytes(header + b"".join(rows))
        draft.rename(folder)
    return folder


def _applied(service: daybook.Service) -> int:
    """Return the applied rows of all sources, by one command of Redis: the service has enough to do."""
    with redis.Redis(unix_socket_path=service.socket) as client:
        found = client.execute_command("SORT_RO", "daybook:sources", "BY", "nosort", "GET", "daybook:source:*->applied")
    return sum(json.loads(position)["rows"] for position in found if position)
