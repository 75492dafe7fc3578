"""The service's log and readiness tell what happens, once, and nothing that alarms without need."""

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.conftest import MakeService
from support.oracle import truth_of
from support.outside import OutsideMongo, OutsideRedis
from support.sample_file import generated
from support.service import until

HEADER = "timestamp,type,payment_method,amount\n"


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[OutsideRedis]:
    with OutsideRedis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def mongo_server(tmp_path: Path) -> Iterator[OutsideMongo]:
    with OutsideMongo(tmp_path / "mongo") as server:
        yield server


@pytest.mark.parametrize("name", ["month.csv", "no/folder"])
def test_readiness_names_a_missing_path(make_service: MakeService, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    service = make_service(CsvFilePath=path, MaxWaitSeconds=1).launch().wait_until_answering()
    waits = service.get("/readyz").json()["waits"]
    until(lambda: "CsvFilePath" in service.get("/readyz").json()["waits"], f"it is named: {waits}")
    until(lambda: "CsvFilePath" in service.get("/readyz").json()["checks"], "not ready, because it never came")
    assert service.get("/readyz").status_code == 503
    told = service.get("/readyz").json()["checks"]["CsvFilePath"]
    assert told.startswith(f"{path}: no such file (for ")
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEADER + "2026-01-05,deposit,paypal,1.00\n")
    service.wait_until_imported(path, 1)
    service.wait_until_ready()
    path.unlink()
    assert service.stop() == 0
    service.start()
    service.wait_for_log("no such file")
    time.sleep(1.5)
    answer = service.get("/readyz")
    assert (answer.status_code, answer.json()["waits"]) == (200, {}), "it was imported; taking it away is no problem"


def test_a_normal_life_alarms_nobody_and_tells_what_was_imported(make_service: MakeService, tmp_path: Path) -> None:
    file = generated(tmp_path / "month.csv", rows=3000, bad_rows=0.01)
    truth = truth_of(file)
    service = make_service(CsvFilePath=file).start()
    told = service.wait_for_log("import finished")
    facts = dict(re.findall(r"(\w+)=(\S+)", told))
    assert facts | {"source": ""} == {
        "file": str(file),
        "source": "",
        "rows": "3000",
        "applied": "2970",
        "rejected": "30",
        "deposits": str(truth.total("deposits")),
        "withdrawals": str(truth.total("withdrawals")),
    }
    assert service.stop() == 0
    assert service.log.count("import finished") == 1
    assert service.log.splitlines()[-1].endswith("stopped")
    assert [line for line in service.log.splitlines() if "[info" not in line] == []
    service.start()
    service.wait_for_log("already imported")
    assert service.stop(signal.SIGINT) == 0
    assert "import finished" not in service.log


def test_many_rejects_and_a_torn_end_are_warnings(make_service: MakeService, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    bad, torn = tmp_path / "in" / "bad.csv", tmp_path / "in" / "torn.csv"
    bad.write_text(HEADER + "2026-01-05,deposit,paypal,-1\n" * 5)
    torn.write_text(HEADER + "2026-01-05,deposit,paypal,1.00\n2026-01-05,deposit")
    service = make_service(CsvFilePath=tmp_path / "in").start()
    service.wait(lambda: str(bad) in service.log and str(torn) in service.log, "both are told")
    assert "[warning" in service.wait_for_log("import finished")
    assert "--complete" in service.wait_for_log("imported as far as it can be read")


def lines_with(log: str, words: str) -> list[str]:
    return [line for line in log.splitlines() if words in line]


def test_an_outage_of_redis_is_one_line_a_part(
    make_service: MakeService, redis_server: OutsideRedis, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    files = [generated(tmp_path / "in" / f"{seed}.csv", rows=3000, seconds=4, seed=seed) for seed in range(5)]
    redis_server.start()
    service = make_service(CsvFilePath=tmp_path / "in", ReplaySpeed=1, **redis_server.settings).start()
    service.wait(lambda: len(service.imports()) == len(files), "all are read")
    redis_server.kill()
    service.wait_for_log("waiting for Redis")
    time.sleep(5)
    redis_server.start()
    for file in files:
        service.wait_until_imported(file, 3000, seconds=40)
    service.wait_for_log("imports go on")
    service.wait_for_log("the lane goes on")
    assert service.stop() == 0
    warned = [line for line in service.log.splitlines() if "[info" not in line]
    assert len(warned) == 2, warned
    assert [
        len(lines_with(service.log, words)) for words in ("waiting for Redis", "imports wait", "go on", "goes on")
    ] == [
        1,
        1,
        1,
        1,
    ]


def test_an_outage_of_mongodb_is_one_line(
    make_service: MakeService, mongo_server: OutsideMongo, tmp_path: Path
) -> None:
    file = generated(tmp_path / "month.csv", rows=3000, seconds=30)
    mongo_server.start()
    service = make_service(
        CsvFilePath=file, ReplaySpeed=1, DumperTaskScheduleInterval=0.2, CutOffDays=3_000_000, **mongo_server.settings
    ).start()
    service.wait_for_log("dumped inserted=")
    mongo_server.kill()
    service.wait_for_log("the dumper waits for the archive")
    time.sleep(8)
    assert len(lines_with(service.log, "the dumper waits for the archive")) == 1
    mongo_server.start()
    service.wait_for_log("the dumper goes on")
    assert service.stop() == 0


def test_a_misspelt_setting_is_named_at_the_start(make_service: MakeService, tmp_path: Path) -> None:
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / ".env").write_text("HttpPorts=80\n")
    service = make_service(folder, CutOffDay=30).start()
    assert service.log.splitlines()[:2] == [
        "daybook: CutOffDay: did you mean CutOffDays? It is ignored as it is",
        "daybook: HttpPorts: did you mean HttpPort? It is ignored as it is",
    ]
    assert service.stop() == 0
