"""Redis or MongoDB away at the start or during an import: nothing is lost, nothing counts twice."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.conftest import MakeService
from support.oracle import Truth, truth_of
from support.outside import OutsideMongo, OutsideRedis
from support.sample_file import generated
from support.service import Service, Setting, embedded_server, embedded_servers

ROWS = 20_000
ROWS_BEFORE = 2000


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
    """Takes 2 seconds at its own pace."""
    return generated(tmp_path_factory.mktemp("sample") / "month.csv", rows=ROWS, bad_rows=0.01, seconds=2)


@pytest.fixture(scope="module")
def truth(file: Path) -> Truth:
    return truth_of(file)


def wait_until_under_way(service: Service, file: Path) -> None:
    def under_way() -> bool:
        found = service.import_of(file)
        return found is not None and found["rows"] >= ROWS_BEFORE

    service.wait(under_way, "the import is under way")
    found = service.import_of(file)
    assert found is not None
    assert found["state"] == "reading", "the interruption must come in the middle"


def applied(service: Service, file: Path) -> int:
    found = service.import_of(file)
    assert found is not None
    return int(found["applied"])


def check(service: Service, file: Path, truth: Truth) -> None:
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
    assert "does not answer" in answer.json()["checks"][name]


def test_redis_not_there_at_the_start_and_killed_during_the_import(
    make_service: MakeService, redis_server: OutsideRedis, file: Path, truth: Truth
) -> None:
    service = make_service(CsvFilePath=file, ReplaySpeed=1, **redis_server.settings)
    service.launch().wait_until_answering()
    service.wait_for_log("waiting for Redis")
    assert_waiting(service, "redis")
    for path in ("/stats?from_date=2026-01-01&to_date=2026-01-31", "/v1/imports"):
        answer = service.get(path)
        assert answer.status_code == 503
        assert answer.json()["detail"].startswith("Redis does not answer")

    redis_server.start()
    service.wait_until_ready()
    wait_until_under_way(service, file)
    redis_server.kill()
    service.wait(lambda: service.log.count("waiting for Redis") > 1, "Redis is missed")
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


def test_redis_is_wiped_after_a_dump(
    make_service: MakeService, redis_server: OutsideRedis, file: Path, truth: Truth
) -> None:
    redis_server.start()
    service = make_service(
        CsvFilePath=file, DumperTaskScheduleInterval=0.2, CutOffDays=3_000_000, **redis_server.settings
    ).start()
    service.wait_until_imported(file, truth.rows)
    service.wait_for_log("dumped inserted=")
    with redis_server.client() as client:
        client.flushall()
    service.wait_for_log("Redis was behind the archive and is restored")
    check(service.wait_until_ready(), file, truth)


def test_the_embedded_server_is_killed_during_an_import(make_service: MakeService, file: Path, truth: Truth) -> None:
    service = make_service(CsvFilePath=file, ReplaySpeed=1).start()
    wait_until_under_way(service, file)
    first = embedded_server(service.data_dir)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    check(service, file, truth)
    assert embedded_servers(service.data_dir) == [embedded_server(service.data_dir)] != [first]


def test_mongodb_not_there_at_the_start_and_stopped_during_the_import(
    make_service: MakeService, mongo_server: OutsideMongo, file: Path, truth: Truth
) -> None:
    """Days that are in Redis go on being counted while MongoDB is away; nothing else would be kept."""
    service = make_service(
        CsvFilePath=file,
        ReplaySpeed=0.3,
        DumperTaskScheduleInterval=0.2,
        CutOffDays=3_000_000,
        **mongo_server.settings,
    )
    service.launch().wait_until_answering()
    assert_waiting(service, "mongodb")

    mongo_server.start()
    service.wait_until_ready()
    wait_until_under_way(service, file)
    service.wait_for_log("dumped inserted=")
    mongo_server.stop()
    counted = applied(service, file)
    service.wait(lambda: applied(service, file) > counted + ROWS_BEFORE, "rows are applied meanwhile")
    assert_waiting(service, "mongodb")

    mongo_server.start()
    check(service.wait_until_ready(), file, truth)


def test_a_redis_that_may_evict_is_refused(make_service: MakeService, redis_server: OutsideRedis) -> None:
    redis_server.start("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    service = make_service(**redis_server.settings).launch()
    assert service.ended() == 1
    complaints = [line for line in service.log.splitlines() if "allkeys-lru" in line]
    assert complaints == ["daybook: Redis has maxmemory-policy allkeys-lru: it may delete totals; set it to noeviction"]
    assert "Traceback" not in service.log


def test_a_mongodb_whose_name_is_not_found_may_be_found_later(make_service: MakeService) -> None:
    service = make_service(MongoDbUri="mongodb+srv://me:hunter2@daybook.invalid/").launch().wait_until_answering()
    service.wait_for_log("waiting for MongoDB: the address of MongoDB is not found")
    answer = service.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["mongodb"].startswith("the address of MongoDB is not found")
    assert service.stop() == 0
    assert "Traceback" not in service.log
    assert "hunter2" not in service.log


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("MongoDbUri is not a valid MongoDB address", {"MongoDbUri": "nonsense"}),
        ("MaxMethodsPerBucket=50000: at most 29000", {"MongoDbUri": "mongodb://h/", "MaxMethodsPerBucket": 50_000}),
    ],
)
def test_settings_that_mongodb_cannot_have_stop_the_start(
    make_service: MakeService, name: str, settings: dict[str, Setting]
) -> None:
    service = make_service(**settings).launch()
    assert service.ended() == 1
    (line,) = service.log.splitlines()
    assert line.startswith(f"daybook: {name}")
