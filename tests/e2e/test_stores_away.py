"""Redis or MongoDB away: at the start, in the middle of an import, for good; nothing is lost, nothing counts twice."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.conftest import MakeService
from support.oracle import Truth, truth_of
from support.outside import OutsideMongo, OutsideRedis
from support.sample_file import generated
from support.service import Service, embedded_server, embedded_servers, stats_data

ROWS = 20_000
PACED_SECONDS = 4
ROWS_BEFORE = 3000


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[OutsideRedis]:
    with OutsideRedis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def mongo_server(tmp_path: Path) -> Iterator[OutsideMongo]:
    with OutsideMongo(tmp_path / "mongo") as server:
        yield server


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sample") / "month.csv"
    return generated(place, rows=ROWS, bad_rows=0.01, seconds=PACED_SECONDS)


@pytest.fixture(scope="module")
def truth(file: Path) -> Truth:
    return truth_of(file)


def wait_until_under_way(service: Service, file: Path) -> None:
    def under_way() -> bool:
        found = service.import_of(file)
        return found is not None and found["rows"] >= ROWS_BEFORE

    service.wait(under_way, "the import is under way")


def check(service: Service, file: Path, truth: Truth) -> None:
    """Exact in the end, and the interruption did come in the middle."""
    found = service.wait_until_imported(file, truth.rows)
    assert service.stats() == truth.data
    assert (found["applied"], found["rejected"]) == (truth.applied, len(truth.rejects))
    assert "Traceback" not in service.logs


def assert_waiting(service: Service, name: str) -> None:
    """Alive, not ready, and it says for what."""
    assert service.get("/livez").status_code == 200
    answer = service.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert name in answer.json()["checks"]
    assert "does not answer" in answer.json()["checks"][name]


def test_redis_not_there_at_the_start(
    make_service: MakeService, redis_server: OutsideRedis, file: Path, truth: Truth
) -> None:
    service = make_service(CsvFilePath=file, **redis_server.settings).launch().wait_until_answering()
    service.wait_for_log("waiting for Redis")
    assert_waiting(service, "redis")
    assert service.get("/stats", from_date="2026-01-01", to_date="2026-01-31").status_code == 503
    assert service.get("/v1/imports").status_code == 503
    redis_server.start()
    check(service.wait_until_ready(), file, truth)


def test_mongodb_not_there_at_the_start(
    make_service: MakeService, mongo_server: OutsideMongo, file: Path, truth: Truth
) -> None:
    service = make_service(CsvFilePath=file, **mongo_server.settings).launch().wait_until_answering()
    service.wait_for_log("waiting for MongoDB")
    assert_waiting(service, "mongodb")
    mongo_server.start()
    check(service.wait_until_ready(), file, truth)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_redis_restarts_during_an_import(
    make_service: MakeService, redis_server: OutsideRedis, file: Path, truth: Truth, end: str
) -> None:
    redis_server.start()
    service = make_service(CsvFilePath=file, ReplaySpeed=1, **redis_server.settings).start()
    wait_until_under_way(service, file)
    getattr(redis_server, end)()
    service.wait_for_log("waiting for Redis")
    assert_waiting(service, "redis")
    redis_server.start()
    check(service.wait_until_ready(), file, truth)


def test_redis_comes_back_empty_during_an_import(
    make_service: MakeService, redis_server: OutsideRedis, file: Path, truth: Truth
) -> None:
    redis_server.start()
    service = make_service(
        CsvFilePath=file, ReplaySpeed=1, DumperTaskScheduleInterval=0.2, **redis_server.settings
    ).start()
    wait_until_under_way(service, file)
    service.wait_for_log("dumped inserted=")
    redis_server.kill()
    shutil.rmtree(redis_server.folder / "appendonlydir")
    redis_server.start()
    service.wait_for_log("Redis was behind the archive and is restored")
    check(service.wait_until_ready(), file, truth)


def test_redis_is_emptied_while_nothing_happens(
    make_service: MakeService, redis_server: OutsideRedis, file: Path, truth: Truth
) -> None:
    redis_server.start()
    service = make_service(CsvFilePath=file, **redis_server.settings).start()
    service.wait_until_imported(file, truth.rows)
    service.stop()
    service.start()
    with redis_server.client() as client:
        client.flushall()
    service.wait_for_log("is restored")
    check(service.wait_until_ready(), file, truth)


def test_the_embedded_server_is_killed_during_an_import(
    make_service: MakeService, file: Path, truth: Truth
) -> None:
    service = make_service(CsvFilePath=file, ReplaySpeed=1).start()
    wait_until_under_way(service, file)
    first = embedded_server(service.data_dir)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    check(service, file, truth)
    assert embedded_servers(service.data_dir) == [embedded_server(service.data_dir)] != [first]


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_mongodb_restarts_during_an_import(
    make_service: MakeService, mongo_server: OutsideMongo, file: Path, truth: Truth, end: str
) -> None:
    """Days that are in Redis go on being counted and served meanwhile."""
    mongo_server.start()
    service = make_service(
        CsvFilePath=file,
        ReplaySpeed=1,
        DumperTaskScheduleInterval=0.2,
        CutOffDays=3_000_000,
        **mongo_server.settings,
    ).start()
    service.wait_for_log("dumped inserted=")
    wait_until_under_way(service, file)
    getattr(mongo_server, end)()
    service.wait_for_log("waiting for the archive")
    before = service.import_of(file)
    assert before is not None
    time.sleep(0.5)
    after = service.import_of(file)
    assert after is not None
    assert after["applied"] > before["applied"], "ingestion of resident days goes on"
    assert_waiting(service, "mongodb")
    mongo_server.start()
    check(service.wait_until_ready(), file, truth)
    assert service.stop() == 0
    service.start(ReplaySpeed=0)
    check(service, file, truth)


def test_mongodb_away_and_killed_service_lose_nothing(
    make_service: MakeService, mongo_server: OutsideMongo, file: Path, truth: Truth
) -> None:
    mongo_server.start()
    service = make_service(
        CsvFilePath=file,
        ReplaySpeed=1,
        DumperTaskScheduleInterval=0.2,
        CutOffDays=0,
        MaxResidentBuckets=40,
        **mongo_server.settings,
    ).start()
    wait_until_under_way(service, file)
    mongo_server.kill()
    service.wait_for_log("waiting for the archive")
    service.kill()
    mongo_server.start()
    service.start(ReplaySpeed=0, MaxResidentBuckets=20_000)
    check(service, file, truth)


def test_a_redis_that_may_evict_is_refused(make_service: MakeService, redis_server: OutsideRedis) -> None:
    redis_server.start("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    service = make_service(**redis_server.settings).launch()
    assert service.ended() == 1
    complaints = [line for line in service.log.splitlines() if "allkeys-lru" in line]
    assert complaints == [
        "daybook: Redis has maxmemory-policy allkeys-lru: it may delete totals; set it to noeviction"
    ]
    assert "Traceback" not in service.log
