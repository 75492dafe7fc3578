"""Measures `/stats` over a month: requests a second compared with a bare route, and latency during an import."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta

from redis import Redis

from benchmarks import daybook_process as daybook
from benchmarks.daybook_process import Service
from benchmarks.files import DataFile
from benchmarks.loading import Answers, Load, load, loading
from benchmarks.measure import Spread, end, ratios
from benchmarks.plan import Plan
from benchmarks.results import Results
from daybook.stores import redis_keys

FIRST, LAST, MIDDLE = date(2026, 1, 1), date(2026, 1, 31), date(2026, 1, 16)
NEVER_EVICT = {"CutOffDays": 3_660_000}
EVICT_ALL = {"CutOffDays": 0, "DumperTaskScheduleInterval": 1}
_ROWS = 100_000
_CONNECTIONS, _PACED_CONNECTIONS, _PACED_RATE = 16, 8, 200.0
_LOAD_SECONDS, _QUICK_LOAD_SECONDS = 4.0, 0.5
_WARM_UP_SECONDS = 0.5
_LONGEST_SECONDS = 3600.0
_ENOUGH_REQUESTS = 300
"""Number of requests from which a 99th percentile is taken."""
_SETTLE_SECONDS = 120.0
_RANGES = 1000
"""Number of ranges, more than Daybook keeps answers for."""


def path_of(first: date, last: date) -> str:
    return f"/stats?from_date={first}&to_date={last}"


MONTH = (path_of(FIRST, LAST),)
OTHER_RANGES = tuple(path_of(FIRST - timedelta(days=number), LAST) for number in range(1, _RANGES + 1))
"""Ranges with the same answer. None is asked again while its answer is kept."""


def run(plan: Plan, results: Results) -> None:
    """Measure resident, archived and mixed totals and the bare route. All services run; one at a time is asked."""
    file = plan.files.head(plan.files.month(plan.rows), _ROWS)
    seconds = _QUICK_LOAD_SECONDS if plan.quick else _LOAD_SECONDS
    age = (datetime.now(UTC).date() - MIDDLE).days
    found: dict[str, list[Answers]] = {}
    with ExitStack() as stack:
        loads: dict[str, Load] = {}
        for name, settings, resident in (
            ("hot", NEVER_EVICT, 62),
            ("archived", EVICT_ALL, 0),
            ("mixed", {**EVICT_ALL, "CutOffDays": age}, 32),
        ):
            service = stack.enter_context(_holding(plan, file, settings, resident))
            loads[name] = Load(service.port, MONTH, _CONNECTIONS, seconds)
            if not plan.quick:
                loads[f"{name}, never the same range twice"] = Load(service.port, OTHER_RANGES, _CONNECTIONS, seconds)
        port = stack.enter_context(_bare_route(plan, service.get(MONTH[0])))
        loads["bare"] = Load(port, MONTH, _CONNECTIONS, seconds)
        for number in range(plan.rounds):
            for name, wanted in loads.items():
                answers = load(plan.folder, wanted)
                found.setdefault(name, []).append(answers)
                plan.say(f"  round {number + 1}/{plan.rounds}  {name:<40} {answers.rate:9,.0f} requests/s")
    _tell(results, found)


def _tell(results: Results, found: dict[str, list[Answers]]) -> None:
    bare = [each.rate for each in found["bare"]]
    for name, each in found.items():
        p99 = Spread.of([answers.percentile_ms(99) for answers in each]).median
        rates = [answers.rate for answers in each]
        share, rate = ratios(rates, bare), Spread.of(rates)
        if name == "bare":
            results.add("a bare FastAPI route", f"{rate.text(',.0f')} requests/s, p99 {p99:.1f} ms")
            continue
        target = "" if "," in name else "≥ 0.6"
        results.add(
            f"/stats over 31 days, {name}, by a bare route",
            f"{share.text('.2f')}; {rate.median:,.0f} requests/s, p99 {p99:.1f} ms",
            target,
            met=share.median >= 0.6 if target else None,
        )


def run_while_importing(plan: Plan, results: Results) -> None:
    """Measure requests at a fixed rate, at rest and during an import at full speed."""
    whole = plan.files.month(plan.rows)
    some = plan.files.head(whole, _ROWS)
    calm, busy = [], []
    for number in range(plan.rounds):
        at_rest, importing = _asked_meanwhile(plan, some, whole)
        calm.append(at_rest)
        busy.append(importing)
        plan.say(
            f"  round {number + 1}/{plan.rounds}  p99 at rest {at_rest.percentile_ms(99):.1f} ms,"
            f" importing {importing.percentile_ms(99):.1f} ms ({len(importing.spent)} requests)"
        )
    p50, p99 = (
        [Spread.of([answers.percentile_ms(percent) for answers in each]).median for each in (busy, calm)]
        for percent in (50, 99)
    )
    share = ratios(*([answers.percentile_ms(99) for answers in each] for each in (busy, calm)))
    fewest = min(len(answers.spent) for answers in busy)
    results.add(
        f"/stats at {_PACED_RATE:.0f} requests/s, p99 while importing by p99 at rest",
        f"{share.text('.1f')}; {p99[0]:.1f} ms by {p99[1]:.1f} ms, p50 {p50[0]:.1f} by {p50[1]:.1f} ms,"
        f" {fewest} requests a round while importing",
        "≤ 5",
        met=share.median <= 5 if fewest >= _ENOUGH_REQUESTS else None,
    )


def _asked_meanwhile(plan: Plan, some: DataFile, whole: DataFile) -> tuple[Answers, Answers]:
    """Return one client's answers at rest, and its answers while the whole file is imported."""
    with daybook.data_directory(plan.folder) as data_dir:
        inbox = data_dir.parent / "inbox"
        inbox.mkdir()
        os.link(some.path, inbox / "some.csv")
        with daybook.serving(data_dir, CsvFilePath=inbox) as service:
            service.wait_until_applied(some.rows)
            wanted = Load(service.port, MONTH, _PACED_CONNECTIONS, _LONGEST_SECONDS, _PACED_RATE)
            with loading(plan.folder, wanted) as client:
                time.sleep(_WARM_UP_SECONDS)
                rest_from = time.monotonic()
                time.sleep(_LOAD_SECONDS)
                rest_to = time.monotonic()
                os.link(whole.path, inbox / "whole.csv")
                service.wait_until_applied(some.rows + 1)
                import_from = time.monotonic()
                service.wait_until_applied(some.rows + whole.rows, look_seconds=0.1)
                import_to = time.monotonic()
                answers = client(stop=True)
    return answers.within(rest_from, rest_to), answers.within(import_from, import_to)


@contextmanager
def _holding(plan: Plan, file: DataFile, settings: dict[str, int], resident: int) -> Iterator[Service]:
    """Run a service that holds a file's totals, with `resident` buckets in Redis."""
    with (
        daybook.data_directory(plan.folder) as data_dir,
        daybook.serving(data_dir, CsvFilePath=file.path, **settings) as service,
    ):
        service.wait_until_applied(file.rows)
        wait_for_resident(service, resident)
        yield service


def wait_for_resident(service: Service, buckets: int) -> None:
    with Redis(unix_socket_path=service.socket) as client:
        service.wait(
            lambda: client.hlen(redis_keys.VERSIONS) == buckets, f"{buckets} buckets are in Redis", _SETTLE_SECONDS, 0.1
        )


@contextmanager
def _bare_route(plan: Plan, answer: bytes) -> Iterator[int]:
    """Run the bare route with a fixed answer; yield its port."""
    content, port = plan.folder / f"answer-{os.getpid()}", daybook.free_port()
    content.write_bytes(answer)
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.programs.bare_route", str(content), str(port)])
    try:
        bare = Service(plan.folder, server.pid, port)
        bare.wait(lambda: bare.get("/stats") == answer, "the bare route answers", _SETTLE_SECONDS, 0.01)
        yield port
    finally:
        end(server)
        content.unlink()
