"""Measures `/stats` over one year, ten years and all years, with ten years of 50 payment methods."""

import statistics
import time
from datetime import date, timedelta

from benchmarks import daybook_process as daybook
from benchmarks.daybook_process import Service
from benchmarks.files import TEN_YEARS
from benchmarks.parts.stats import EVICT_ALL, NEVER_EVICT, path_of, wait_for_resident
from benchmarks.plan import Plan
from benchmarks.results import Results

_ROWS = 1_000_000
_ASKED = 5
_SLACK = 1.2
"""Allowed ratio, because the measured ratio of equal times is not exactly 1."""


def run(plan: Plan, results: Results) -> None:
    file = plan.files.ten_years(min(plan.rows, _ROWS), 0.1)
    with daybook.data_directory(plan.folder) as data_dir:
        for name, settings, resident in (("hot", NEVER_EVICT, 2 * TEN_YEARS.days), ("archived", EVICT_ALL, 0)):
            with daybook.serving(data_dir, CsvFilePath=file.path, **settings) as service:
                service.wait_until_applied(file.rows)
                wait_for_resident(service, resident)
                _tell(plan, results, name, *_seconds(service))


def _tell(plan: Plan, results: Results, name: str, year: float, ten: float, everything: float) -> None:
    plan.say(f"  {name}: 1 year {year:.3f} s, 10 years {ten:.3f} s, all years {everything:.3f} s")
    results.add(
        f"/stats over 10 years, {name}, by 10 times one year",
        f"{ten / (10 * year):.2f}; {ten:.2f} s and {year:.3f} s, years 1 to 9999 {everything:.2f} s",
        "≤ 1 (20 % more is noise)",
        met=ten <= 10 * year * _SLACK and everything <= ten * _SLACK,
    )


def _seconds(service: Service) -> tuple[float, float, float]:
    """Return the median seconds for one year, ten years and all years. No range is asked twice."""
    first, last = TEN_YEARS.first_day, TEN_YEARS.first_day + timedelta(days=TEN_YEARS.days - 1)
    years = [path_of(date(2016 + number, 1, 1), date(2016 + number, 12, 31)) for number in range(_ASKED)]
    decades = [path_of(first - timedelta(days=number), last) for number in range(1, _ASKED + 1)]
    always = [path_of(date(1, 1, 1), date(9999, 12, 31) - timedelta(days=number)) for number in range(_ASKED)]
    year, ten, everything = (
        statistics.median(_ask(service, path) for path in each) for each in (years, decades, always)
    )
    return year, ten, everything


def _ask(service: Service, path: str) -> float:
    begun = time.perf_counter()
    service.get(path)
    return time.perf_counter() - begun
