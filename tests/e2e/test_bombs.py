"""Small input that means very much: memory stays bounded, the service answers meanwhile, every row is accounted for."""

import gzip
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest
import redis

from e2e.conftest import MakeService
from support.memory import peak_of
from support.service import Service, archived_rejects, embedded_socket

pytestmark = pytest.mark.timeout(300)

HEADER = b"timestamp,type,payment_method,amount\n"
GOOD = b"2026-01-15T10:30:00,deposit,visa,0.10\n"
SECONDS = 240
"""Patience; each of these takes 5 to 30 seconds on two slow processors."""
MOST_MEGABYTES = 600
"""Of service, workers and server together: interpreters and libraries take 90 each, four blocks with their columns and
rejects 60 each; no file and no queue may add to that."""
MOST_FOR_ONE_ELEMENT = MOST_MEGABYTES + 6 * 100
"""Redis holds an element three times while it comes and is looked at, the service twice while it waits for it."""
PAUSED = '{"ready":false,"checks":{"redis":"does not answer in time"}}'
_SLOWEST_ANSWER_SECONDS = 10


@contextmanager
def answering(service: Service, most_megabytes: int = MOST_MEGABYTES, *, redis_pauses: bool = False) -> Iterator[None]:
    """All the while `/readyz` and `/stats` answer 200, and in the end the processes have not taken more than they may.

    `redis_pauses`: Redis itself is busy for seconds with a single command, which `/readyz` may say.
    """
    ended, wrong = Event(), []
    asked = 0

    def ask() -> None:
        nonlocal asked
        with httpx.Client(base_url=str(service.address), timeout=_SLOWEST_ANSWER_SECONDS, trust_env=False) as client:
            while not ended.wait(0.1):
                for path in ("/readyz", "/stats?from_date=2026-01-01&to_date=2026-01-31"):
                    try:
                        answer = client.get(path)
                    except httpx.HTTPError as error:
                        wrong.append(f"{path}: {error!r}")
                        continue
                    asked += 1
                    paused = redis_pauses and answer.text == PAUSED
                    if answer.status_code != 200 and not paused:
                        wrong.append(f"{path}: {answer.status_code} {answer.text}")

    asking = Thread(target=ask)
    asking.start()
    begun = time.monotonic()
    try:
        yield
    finally:
        seconds = time.monotonic() - begun
        ended.set()
        asking.join()
    peak = peak_of(service)
    print(f"{seconds:.1f} s, {asked} answers, {peak}")  # noqa: T201 - pytest -s shows it
    assert wrong == []
    assert asked > 0
    assert peak.all < most_megabytes, peak


def visa(service: Service) -> Decimal:
    return service.stats()["2026-01-15"]["deposits"]["visa"]


@pytest.mark.parametrize(("size", "sleeps"), [(2 << 30, False), (100 << 20, True)], ids=["2 GiB", "100 MiB at pace"])
def test_a_very_long_line(make_service: MakeService, tmp_path: Path, *, size: int, sleeps: bool) -> None:
    path = tmp_path / "line.csv"
    header, good = (HEADER[:-1] + b",sleep_ms\n", GOOD[:-1] + b",1\n") if sleeps else (HEADER, GOOD)
    with path.open("wb") as file:
        file.write(header + good * 3)
        file.truncate(size + len(header + good * 3))
        file.seek(0, 2)
        file.write(b"\n" + good * 4)
    service = make_service(CsvFilePath=path, ReplaySpeed=1 if sleeps else 0).start()
    with answering(service):
        found = service.wait_until_imported(path, 8, SECONDS)
    assert (found["applied"], found["rejected"], found["state"]) == (7, 1, "done")
    assert visa(service) == Decimal("0.70")
    assert service.stop() == 0
    (reject,) = archived_rejects(service.data_dir)
    assert (reject.line, reject.raw) == (5, "\0" * 4096)
    assert reject.reason == f"line is longer than 1048576 bytes: {size + 1}"


def packed(*parts: tuple[bytes, int]) -> bytes:
    """A gzip file of parts that are repeated: one member each."""
    return b"".join(gzip.compress(part, 1) * times for part, times in parts)


def test_a_packed_line_of_two_gigabytes(make_service: MakeService, tmp_path: Path) -> None:
    path = tmp_path / "line.csv.gz"
    path.write_bytes(packed((HEADER + GOOD, 1), (bytes(64 << 20), 32), (b"\n" + GOOD, 1)))
    assert path.stat().st_size < 20 << 20
    service = make_service(CsvFilePath=path).start()
    with answering(service):
        found = service.wait_until_imported(path, 3, SECONDS)
    assert (found["applied"], found["rejected"]) == (2, 1)
    assert visa(service) == Decimal("0.20")


def test_many_packed_overlong_lines(make_service: MakeService, tmp_path: Path) -> None:
    path = tmp_path / "lines.csv.gz"
    path.write_bytes(packed((HEADER, 1), (bytes(2 << 20) + b"\n" + GOOD, 150)))
    service = make_service(CsvFilePath=path).start()
    with answering(service):
        found = service.wait_until_imported(path, 300, SECONDS)
    assert (found["applied"], found["rejected"]) == (150, 150)
    assert visa(service) == Decimal("15.00")


def test_many_packed_blank_lines(make_service: MakeService, tmp_path: Path) -> None:
    path = tmp_path / "blank.csv.gz"
    path.write_bytes(packed((HEADER + GOOD, 1), (b"\n" * (1 << 20), 40), (GOOD, 1)))
    service = make_service(CsvFilePath=path).start()
    with answering(service):
        found = service.wait_until_imported(path, 2, SECONDS)
    assert (found["applied"], found["rejected"]) == (2, 0)
    assert visa(service) == Decimal("0.20")


def test_many_lines_that_are_no_rows(make_service: MakeService, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(HEADER + GOOD + b"a\n" * 200_000 + GOOD)
    service = make_service(CsvFilePath=path, MaxRejectShare=1).start()
    with answering(service):
        found = service.wait_until_imported(path, 200_002, SECONDS)
    assert (found["applied"], found["rejected"]) == (2, 200_000)
    assert visa(service) == Decimal("0.20")


def transaction(amount: str) -> str:
    return json.dumps(
        {"Timestamp": "2026-01-15T10:30:00", "Type": "deposit", "PaymentMethod": "visa", "Amount": amount}
    )


def queue_of(service: Service) -> "redis.Redis":
    return redis.Redis(unix_socket_path=embedded_socket(service.data_dir), socket_timeout=60)


def test_an_element_of_a_hundred_megabytes(make_service: MakeService) -> None:
    service = make_service().start()
    with answering(service, MOST_FOR_ONE_ELEMENT, redis_pauses=True), queue_of(service) as queue:
        queue.lpush("TransactionQueue", transaction("0.10"))
        queue.lpush("TransactionQueue", transaction("9" * (100 << 20)))
        queue.lpush("TransactionQueue", transaction("0.20"))
        found = service.wait_until_imported("", 3, SECONDS)
    assert (found["applied"], found["rejected"]) == (2, 1)
    assert visa(service) == Decimal("0.30")
    assert service.stop() == 0
    (reject,) = archived_rejects(service.data_dir)
    assert reject.reason.startswith(f"element is too large: {(100 << 20) + len(transaction(''))} bytes")
    assert reject.raw == transaction("9" * 5000)[:4096]


def test_a_million_tiny_elements(make_service: MakeService) -> None:
    service = make_service().start()
    pushed = [transaction("0.01"), "{}", transaction("0.02"), "1"] * 2500
    with answering(service), queue_of(service) as queue:
        for _ in range(100):
            queue.lpush("TransactionQueue", *pushed)
        found = service.wait_until_imported("", 1_000_000, SECONDS)
    assert (found["applied"], found["rejected"]) == (500_000, 500_000)
    assert visa(service) == Decimal("7500.00")
