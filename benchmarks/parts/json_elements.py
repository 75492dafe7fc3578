"""Measures a running service while another producer pushes JSON, one transaction in each element."""

import subprocess
import sys
import time

from benchmarks import daybook_process as daybook
from benchmarks.files import DataFile
from benchmarks.measure import BenchmarkError, Spread, end
from benchmarks.plan import Plan
from benchmarks.results import Results

_QUEUE = "TransactionQueue"
_MOST_ROWS, _QUICK_ROWS = 1_000_000, 200_000
_SECONDS = 600.0


def run(plan: Plan, results: Results) -> None:
    whole = plan.files.month(plan.rows)
    file = plan.files.head(whole, _QUICK_ROWS if plan.quick else _MOST_ROWS)
    rates = []
    for number in range(plan.rounds):
        rates.append(file.rows / _push_once(plan, file))
        plan.say(f"  round {number + 1}/{plan.rounds}  {rates[-1]:,.0f} elements/s applied")
    rate = Spread.of(rates)
    results.add(
        f"JSON, {file.rows:,} elements of one transaction, pushed while they are applied",
        f"{rate.text(',.0f')} /s",
        "≥ 150,000 /s",
        met=rate.median >= 150_000,
    )


def _push_once(plan: Plan, file: DataFile) -> float:
    """Return the seconds from the first push until all is applied. Raises BenchmarkError for inexact totals."""
    with daybook.data_directory(plan.folder) as data_dir:
        with daybook.serving(data_dir) as service:
            command = [sys.executable, "-m", "benchmarks.programs.producer", str(file.path), service.socket, _QUEUE]
            producer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                assert producer.stdin is not None
                assert producer.stdout is not None
                if producer.stdout.readline() != b"ready\n":
                    raise BenchmarkError("the producer did not start")
                begun = time.perf_counter()
                producer.stdin.write(b"\n")
                producer.stdin.flush()
                service.wait_until_applied(file.rows, _SECONDS, 0.05)
                seconds = time.perf_counter() - begun
            finally:
                end(producer)
                for pipe in (producer.stdin, producer.stdout):
                    if pipe is not None:
                        pipe.close()
        verdict = daybook.check(data_dir, file)
    if not verdict.exact:
        raise BenchmarkError(f"Daybook's totals of JSON elements are not exact: {verdict.text}")
    return seconds
