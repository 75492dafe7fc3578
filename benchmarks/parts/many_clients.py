"""Measures what 50 clients cost who all ask for everything: memory, and how fast `/livez` answers meanwhile."""

import http.client
import time
from datetime import date, timedelta
from pathlib import Path

from benchmarks import daybook_process as daybook
from benchmarks.loading import Answers, Load, loading
from benchmarks.measure import Watch
from benchmarks.plan import Plan
from benchmarks.results import Results

_CLIENTS, _DAYS, _METHODS, _FIRST = 50, 10_000, 5, date(1999, 1, 1)
_QUICK_DAYS = 1_000
_LOAD_SECONDS, _PAUSE_SECONDS = 20.0, 0.005
_MOST_LIVE_MS = 50
_WIDEST = "/stats?from_date=1000-01-01&to_date=9999-12-31"


def run(plan: Plan, results: Results) -> None:
    days = _QUICK_DAYS if plan.quick else _DAYS
    with daybook.data_directory(plan.folder) as data_dir:
        data_dir.parent.mkdir(exist_ok=True)
        file = data_dir.parent / "wide.csv"
        rows = _write(file, days)
        with daybook.serving(data_dir, CsvFilePath=file, CutOffDays=36_500) as service:
            service.wait_until_applied(rows)
            service.get(_WIDEST)
            quiet = _live(service.port, 3.0)
            wanted = Load(service.port, (_WIDEST,), _CLIENTS, _LOAD_SECONDS)
            with Watch(lambda: {"service": service.pid}) as watch, loading(plan.folder, wanted) as client:
                asked = _live(service.port, _LOAD_SECONDS)
                answers = client(stop=True)
            peak = watch.usage["service"].peak_bytes / 2**20
    what = f"{_CLIENTS} clients ask for {2 * days:,} buckets"
    results.add(f"{what}, answers", f"{len(answers.spent)}")
    p99, longest = asked.percentile_ms(99), max(seconds for _, seconds in asked.spent) * 1000
    told = f"{p99:.0f} ms, longest {longest:.0f} ms (at rest {quiet.percentile_ms(99):.0f} ms)"
    results.add(f"{what}, /livez p99", told, f"≤ {_MOST_LIVE_MS} ms", met=p99 <= _MOST_LIVE_MS)
    results.add(f"{what}, peak memory", f"{peak:.0f} MB")


def _live(port: int, seconds: float) -> Answers:
    """Ask `/livez` for some seconds on one connection, with a pause after each answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    spent, end = [], time.monotonic() + seconds
    while (begun := time.monotonic()) < end:
        connection.request("GET", "/livez")
        connection.getresponse().read()
        spent.append((begun, time.monotonic() - begun))
        time.sleep(_PAUSE_SECONDS)
    connection.close()
    return Answers(spent)


def _write(path: Path, days: int) -> int:
    """Write a row for each day, type and method; return the number of rows."""
    with path.open("w") as file:
        file.write("timestamp,type,payment_method,amount,sleep_ms\n")
        for day in range(days):
            when = f"{_FIRST + timedelta(day)}T10:30:00"
            for kind in ("deposit", "withdrawal"):
                file.writelines(f"{when},{kind},method {method},{day + 1}.{method}5,0\n" for method in range(_METHODS))
    return days * 2 * _METHODS
