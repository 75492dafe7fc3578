"""Every wait of a running service: named with its reason in `/readyz`, and above a limit not ready with it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from e2e.conftest import MakeService
from support.outside import OutsideMongo
from support.service import Service, until

HEADER = "timestamp,type,payment_method,amount\n"


@pytest.fixture
def mongo_server(tmp_path: Path) -> Iterator[OutsideMongo]:
    with OutsideMongo(tmp_path / "mongo") as server:
        yield server.start()


def append(file: Path, *rows: str) -> None:
    with file.open("a") as out:
        out.writelines(f"{row}\n" for row in rows)


def waits_of(service: Service) -> Mapping[str, str]:
    waits: Mapping[str, str] = service.get("/readyz?verbose").json()["waits"]
    return waits


def has_waits(service: Service, expected: Mapping[str, str]) -> bool:
    found = waits_of(service)
    return all(reason in found.get(name, "") for name, reason in expected.items())


def test_an_archive_that_is_away(make_service: MakeService, mongo_server: OutsideMongo, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(f"{HEADER}2026-01-01,deposit,visa,1\n")
    service = make_service(
        CsvFilePath=file,
        MaxQueueElements=1,
        MaxWaitSeconds=1,
        DumperTaskScheduleInterval=0.2,
        TransactionCkeckTimeout=0.1,
        **mongo_server.settings,
    ).start()
    service.wait_until_imported(file, 1)
    service.wait_for_log("dumped")
    mongo_server.kill()
    expected = {"aggregator": "MongoDB does not answer", f"import {file}": "room in the queue"}

    day = 1

    def all_wait() -> bool:
        nonlocal day
        day += 1
        append(file, f"2026-02-{day % 28 + 1:02d},deposit,visa,1")
        return has_waits(service, expected)

    until(all_wait, f"waits: {expected}", 60)
    rows = day

    def is_unready_by_them() -> bool:
        answer = service.get("/readyz")
        return answer.status_code == 503 and expected.keys() <= answer.json()["checks"].keys()

    until(is_unready_by_them, "not ready, because of each wait", 60)
    for name in expected:
        assert " s)" in service.get("/readyz").json()["checks"][name]

    mongo_server.start()
    service.wait_until_ready()
    service.wait_until_imported(file, rows)
    until(lambda: waits_of(service) == {}, "no wait is left")


def test_a_correction_that_needs_the_next_dump(make_service: MakeService, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    file, corrected = inbox / "rows.csv", inbox / "corrected.csv"
    file.write_text(f"{HEADER}2026-01-01,deposit,visa,-1\n")
    service = make_service(CsvFilePath=inbox, MaxWaitSeconds=1, DumperTaskScheduleInterval=3600).start()
    service.wait_until_imported(file, 1)
    (source,) = service.imports()
    rows = service.get(f"/v1/imports/{source['source']}/rejects", format="csv").text
    corrected.write_text(rows.replace(",-1,", ",1,"))
    name = f"import {corrected}"
    until(lambda: has_waits(service, {name: "waiting for the next dump"}), "the import says what it waits for")
    until(lambda: name in service.get("/readyz").json()["checks"], "not ready, because of the wait")
    assert service.stop() == 0
    service.start(DumperTaskScheduleInterval=0.2)
    service.wait_until_imported(corrected, 1)
    until(lambda: waits_of(service) == {}, "no wait is left")
