"""Many clients who ask for all that there is at once: it is read once, memory stays bounded, `/livez` answers."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from e2e.conftest import MakeService
from support.memory import peak_of
from support.oracle import truth_of
from support.service import Service, Setting, embedded_socket
from support.spawner import Spawner

DAYS, METHODS, CLIENTS = 2000, 5, 40
LOOKS = 20
"""Reads that the import manager may make meanwhile, at most: half of one read for each client."""
FIRST = date(2015, 1, 1)
ALL = "from_date=0001-01-01&to_date=9999-12-31"
MOST_MEGABYTES = 100
"""What all answers together may add; one that is built for each client adds several hundred."""
SLOWEST_LIVE_SECONDS = 1.5


class Answer(NamedTuple):
    status: int
    body: bytes
    retry_after: str | None


def ask(service: Service, path: str) -> Answer:
    connection = http.client.HTTPConnection(str(service.address).removeprefix("http://"), timeout=100)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(), answer.getheader("Retry-After"))
    finally:
        connection.close()


def ask_at_once(service: Service, paths: list[str]) -> list[Answer]:
    start = threading.Barrier(len(paths))

    def one(path: str) -> Answer:
        start.wait()
        return ask(service, path)

    with ThreadPoolExecutor(len(paths)) as threads:
        return list(threads.map(one, paths))


def while_alive(service: Service, work: Callable[[], list[Answer]]) -> tuple[list[Answer], list[float]]:
    """What `work` gives, and the seconds of each answer of `/livez` meanwhile."""
    ended, seconds = threading.Event(), []

    def live() -> None:
        while not ended.is_set():
            begun = time.monotonic()
            assert ask(service, "/livez").status == 200
            seconds.append(time.monotonic() - begun)
            ended.wait(0.05)

    with ThreadPoolExecutor(1) as threads:
        watching = threads.submit(live)
        try:
            answers = work()
        finally:
            ended.set()
        watching.result()
    return answers, seconds


def calls(service: Service, command: str) -> int:
    with redis.Redis(unix_socket_path=embedded_socket(service.data_dir)) as client:
        return int(client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


def write(path: Path, days: int, methods: int) -> int:
    """Rows of both types on each day; how many."""
    with path.open("w") as file:
        file.write("timestamp,type,payment_method,amount,sleep_ms\n")
        for day in range(days):
            for kind in ("deposit", "withdrawal"):
                for method in range(methods):
                    amount = f"{day + 1}.{method + 10}"
                    file.write(f"{FIRST + timedelta(day)}T10:30:00,{kind},method {method},{amount},0\n")
    return days * 2 * methods


@pytest.fixture(scope="module")
def service(spawner: Spawner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("many")
    rows = write(folder / "wide.csv", DAYS, METHODS)
    settings: dict[str, Setting] = {
        "CsvFilePath": folder / "wide.csv",
        "CutOffDays": 36500,
        "DumperTaskScheduleInterval": 3600,
    }
    with Service(folder, spawner, **settings) as running:
        running.start().wait_until_imported(folder / "wide.csv", rows, 60)
        yield running


@pytest.mark.parametrize(
    ("path", "read_by", "most_reads"),
    [
        (f"/stats?{ALL}", "zrange", 1),
        ("/stats?to_date=9999-12-31&from_date=0001-01-02", "zrange", 1),
        (f"/v1/aggregates?{ALL}", "zrange", 1),
        (f"/v1/aggregates?{ALL}&as_of=2020-01-01", "zrange", 2),
        (f"/v1/aggregates?{ALL}&provenance=true", "zrange", 2),
        ("/v1/reconcile", "zrange", 16),  # some for each of the two answers: the list of sources has a version, too
        ("/v1/restatements", "lrange", 10),
    ],
)
def test_what_many_ask_at_once_is_made_once(service: Service, path: str, read_by: str, most_reads: int) -> None:
    """It is made twice where its content can change without a commit: late questions then share the next answer.

    The lane calls LRANGE, too.
    """
    ask(service, "/livez")
    before, peak = calls(service, read_by), peak_of(service).service
    answers, live = while_alive(service, lambda: ask_at_once(service, [path] * CLIENTS))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert 0 < calls(service, read_by) - before <= most_reads + LOOKS
    assert peak_of(service).service - peak < MOST_MEGABYTES
    assert max(live) < SLOWEST_LIVE_SECONDS


def test_more_questions_than_are_answered_at_a_time_are_503(service: Service) -> None:
    peak = peak_of(service).service
    paths = [f"/stats?from_date={1000 + number}-01-01&to_date=9999-12-31" for number in range(100)]
    answers, live = while_alive(service, lambda: ask_at_once(service, paths))
    refused = [answer for answer in answers if answer.status == 503]
    assert {answer.status for answer in answers} == {200, 503}
    assert {answer.retry_after for answer in refused} == {"1"}
    details = {json.loads(answer.body)["detail"] for answer in refused}
    assert "64 other answers are in the making: ask again later" in details
    assert all("other answers" in detail or "not ready within 30 s" in detail for detail in details)
    assert peak_of(service).service - peak < MOST_MEGABYTES
    assert max(live) < SLOWEST_LIVE_SECONDS
    assert ask(service, paths[-1]).status == 200


def test_clients_that_go_away_leave_the_others_their_answer(service: Service) -> None:
    path = f"/v1/aggregates?{ALL}&provenance=true"
    gone = [http.client.HTTPConnection(str(service.address).removeprefix("http://")) for _ in range(10)]
    for connection in gone:
        connection.request("GET", path)
    with ThreadPoolExecutor(1) as threads:
        staying = threads.submit(ask, service, path)
        for connection in gone:
            connection.close()
        assert staying.result().status == 200


def test_many_days_in_redis_and_in_the_archive_are_one_answer(make_service: MakeService, tmp_path: Path) -> None:
    """An answer is put together from parts: more than one of resident and of archived days."""
    path = tmp_path / "days.csv"
    rows = write(path, days=800, methods=2)
    service = make_service(
        CsvFilePath=path, CutOffDays=36500, MaxResidentBuckets=500, DumperTaskScheduleInterval=0.2
    ).start()
    service.wait_until_imported(path, rows, 60)
    service.wait(lambda: service.get("/v1/reconcile").json()["archived_buckets"] == 1600, "all days are archived")
    assert service.stats("0001-01-01", "9999-12-31") == truth_of(path).data
    some = (FIRST + timedelta(50)).isoformat(), (FIRST + timedelta(750)).isoformat()
    expected = {day: types for day, types in truth_of(path).data.items() if some[0] <= day <= some[1]}
    assert service.stats(*some) == expected
    found = service.get("/v1/aggregates", from_date=some[0], to_date=some[1], provenance="true").json()
    assert list(found["data"]) == list(found["provenance"]) == list(expected)
    stores = {origin["deposits"]["store"] for origin in found["provenance"].values()}
    assert stores == {"redis", "archive"}
