"""A million payment methods: `MaxMethodsPerBucket` bounds what a bucket holds, the rest is rejected and says so."""

import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from e2e.conftest import MakeService
from support.memory import peak_of
from support.service import Service, archived_rejects, embedded_socket

pytestmark = pytest.mark.timeout(300)

ROWS, PUSHED, MOST_METHODS = 1_000_000, 200_000, 1000
DAYS = ("2026-01-15", "2026-01-16", "2026-01-17")
SETTINGS = {"MaxMethodsPerBucket": MOST_METHODS, "CutOffDays": 36500}
AMOUNT = Decimal("0.10")
SECONDS = 240
MOST_MEGABYTES = 800
"""Of service, workers and server together: as without a million methods, and the rejects that wait to be archived."""
_ELEMENTS_TOGETHER = 10_000


class Row(NamedTuple):
    day: str
    method: str


def rows(number: int = ROWS) -> Iterator[Row]:
    """Every row another method, the days in turn, all of them deposits."""
    return (Row(DAYS[row % len(DAYS)], f"method {row}") for row in range(number))


def check(service: Service, path: Path | str, number: int) -> None:
    """Exactly the first methods of each bucket count; all others are rejected with a reason that says why."""
    found = service.wait_until_imported(path, number, SECONDS)
    counted = len(DAYS) * MOST_METHODS
    assert (found["applied"], found["rejected"]) == (counted, number - counted)
    assert found["control_totals"] == {"deposits": counted * AMOUNT, "withdrawals": 0}
    expected: dict[str, dict[str, dict[str, Decimal]]] = {day: {"deposits": {}, "withdrawals": {}} for day in DAYS}
    for row in rows(counted):
        expected[row.day]["deposits"][row.method] = AMOUNT
    assert service.stats() == expected
    peak = peak_of(service)
    assert service.get("/readyz").status_code == 200
    assert service.stop() == 0
    rejects = archived_rejects(service.data_dir)
    assert len(rejects) == number - counted
    assert [reject.reason for reject in rejects if "MaxMethodsPerBucket" not in reject.reason] == []
    assert peak.all < MOST_MEGABYTES, peak


def test_of_a_file(make_service: MakeService, tmp_path: Path) -> None:
    path = tmp_path / "methods.csv"
    with path.open("w") as file:
        file.write("timestamp,type,payment_method,amount\n")
        file.writelines(f"{day}T10:30:00,deposit,{method},{AMOUNT}\n" for day, method in rows())
    check(make_service(CsvFilePath=path, **SETTINGS).start(), path, ROWS)


def test_of_the_queue(make_service: MakeService) -> None:
    service = make_service(**SETTINGS).start()
    elements = (
        json.dumps({"Timestamp": day, "Type": "deposit", "PaymentMethod": method, "Amount": float(AMOUNT)})
        for day, method in rows(PUSHED)
    )
    with redis.Redis(unix_socket_path=embedded_socket(service.data_dir), socket_timeout=60) as queue:
        while some := list(islice(elements, _ELEMENTS_TOGETHER)):
            queue.lpush("TransactionQueue", *some)
    check(service, "", PUSHED)


def test_a_known_method_counts_on_in_a_full_bucket(make_service: MakeService, tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    methods = [f"m{number}" for number in range(10)]
    path.write_text(
        "timestamp,type,payment_method,amount\n"
        + "".join(f"{DAYS[0]}T10:30:00,deposit,{method},{AMOUNT}\n" for method in (*methods, "new", *methods))
    )
    service = make_service(CsvFilePath=path, MaxMethodsPerBucket=10, DumperTaskScheduleInterval=0.2).start()
    found = service.wait_until_imported(path, 21)
    assert (found["applied"], found["rejected"]) == (20, 1)
    service.stop()
    service.start()
    with path.open("a") as file:
        file.write(f"{DAYS[0]}T10:30:00,withdrawal,new,{AMOUNT}\n{DAYS[0]}T10:30:00,deposit,late,{AMOUNT}\n")
    found = service.wait_until_imported(path, 23)
    assert (found["applied"], found["rejected"]) == (21, 2)
    assert service.stats() == {
        DAYS[0]: {"deposits": dict.fromkeys(methods, 2 * AMOUNT), "withdrawals": {"new": AMOUNT}}
    }
