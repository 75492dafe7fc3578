"""MongoDB does not answer at all: its process is stopped by SIGSTOP."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from e2e.conftest import MakeService
from support.outside import OutsideMongo
from support.service import Service

HEADER = "timestamp,type,payment_method,amount\n"
OLD, RECENT, EMPTY = "2001-01-01", "2026-01-05", "2026-01-06"
AT_ONCE, IN_TIME = 1.5, 6.0
"""Seconds: a quick answer and an answer of 503, each with what a busy machine adds."""


@pytest.fixture
def frozen(make_service: MakeService, tmp_path: Path) -> Iterator[Service]:
    """With `OLD` evicted to MongoDB and deposits of `RECENT` in Redis."""
    path = tmp_path / "few.csv"
    path.write_text(f"{HEADER}{OLD}T01:00:00,deposit,visa,1.00\n{RECENT}T01:00:00,deposit,visa,2.00\n")
    with OutsideMongo(tmp_path / "mongo") as server:
        server.start()
        days = 365 * 20
        service = make_service(
            CsvFilePath=path, DumperTaskScheduleInterval=0.2, CutOffDays=days, MaxWaitSeconds=1, **server.settings
        ).start()
        service.wait_until_imported(path, 2)
        service.wait_for_log("evicted buckets=1")
        service.wait(lambda: set(service.stats(OLD, RECENT)) == {OLD, RECENT}, "both days are answered")
        server.send(signal.SIGSTOP)
        try:
            yield service
        finally:
            server.send(signal.SIGCONT)


def timed(service: Service, path: str, **parameters: str) -> tuple[httpx.Response, float]:
    begun = time.monotonic()
    answer = service.get(path, **parameters)
    return answer, time.monotonic() - begun


@pytest.mark.parametrize(("first", "last"), [(RECENT, RECENT), (EMPTY, EMPTY), ("2002-01-01", "2026-12-31")])
@pytest.mark.parametrize("path", ["/stats", "/v1/aggregates"])
def test_what_redis_knows_is_answered_at_once(frozen: Service, path: str, first: str, last: str) -> None:
    """Also where the archive holds no withdrawals of the day, or nothing at all: the index in Redis proves it."""
    answer, seconds = timed(frozen, path, from_date=first, to_date=last)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()["data"]) == ({RECENT} if first <= RECENT <= last else set())
    assert seconds < AT_ONCE


@pytest.mark.parametrize(
    "question",
    [
        f"/stats?from_date={OLD}&to_date={OLD}",
        f"/v1/aggregates?from_date={OLD}&to_date={RECENT}&provenance=true",
        "/v1/restatements",
        "/v1/reconcile",
    ],
)
def test_what_only_mongodb_knows_is_refused_in_time(frozen: Service, question: str) -> None:
    answer, seconds = timed(frozen, question)
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("MongoDB does not answer")
    assert seconds < IN_TIME


def test_many_questions_for_mongodb_do_not_hold_up_those_for_redis(frozen: Service) -> None:
    answers: list[tuple[httpx.Response, float]] = []

    def ask(day: int) -> None:
        answers.append(timed(frozen, "/stats", from_date=f"2000-12-{day:02d}", to_date=f"{2001 + day}-01-01"))

    timed(frozen, "/stats", from_date=OLD, to_date=OLD)
    asking = [threading.Thread(target=ask, args=(day,)) for day in range(1, 13)]
    asking[0].start()
    time.sleep(0.2)
    for thread in asking[1:]:
        thread.start()
    time.sleep(0.2)
    answer, seconds = timed(frozen, "/stats", from_date=RECENT, to_date=RECENT)
    assert (answer.status_code, seconds < AT_ONCE) == (200, True), seconds
    for thread in asking:
        thread.join()
    assert all(found.status_code == 503 and took < IN_TIME for found, took in answers)
