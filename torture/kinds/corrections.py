"""Rejected rows are corrected in two files at once while the service is killed: each row must count once."""

import csv
import io
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from support.service import Service, Setting
from torture.case import SHORT, Case, Input, Kind
from torture.stores import some_stores
from torture.verify import ARCHIVE_SECONDS, cells_of, check_books, wait_until_archived, wait_until_imported

FIXED = {"timestamp": "2026-01-09T00:00:00", "type": "deposit", "payment_method": "fixed", "amount": "0.01"}
SETTINGS: dict[str, Setting] = {"DumperTaskScheduleInterval": 0.1, "CutOffDays": 0, "LeaseSeconds": 0.5}
POINTS = (
    "sqlite.correct.done", "redis.enqueue.before", "redis.enqueue.after", "redis.commit.before", "redis.commit.after",
    "redis.snapshot.after", "sqlite.write.committed", "redis.settle.after", "redis.register.after",
)  # fmt: skip
SHARE_AT_A_POINT, SHARE_WIPED = 0.3, 0.4


def interrupted(case: Case) -> None:
    """Kill the service, and wipe Redis, while both files of corrections are imported."""
    stores = some_stores(case)
    original = case.file(SHORT)
    inbox = case.folder / "inbox"
    inbox.mkdir()
    service = case.service(SETTINGS | stores.settings | {"CsvFilePath": original.path})
    case.start(service)
    wait_until_imported(case, service, [original])
    wait_until_archived(case, stores, service)
    source = service.imports()[0]["source"]
    _correct(service, source, inbox, case)
    service.stop()
    with case.readers([service], [], falls=True):
        for _ in range(case.faults):
            life: dict[str, Setting] = {
                "DAYBOOK_FAILPOINT": "",
                "DumperTaskScheduleInterval": case.chance.choice((0.1, 5)),
            }
            if case.chance.random() < SHARE_AT_A_POINT:
                life["DAYBOOK_FAILPOINT"] = f"{case.chance.choice(POINTS)}:{case.chance.choice((1, 1, 2, 3))}"
            service.launch(CsvFilePath=inbox / "*.csv", **life)
            time.sleep(case.chance.uniform(0, 0.8))
            if case.chance.random() < SHARE_WIPED:
                with suppress(Exception), stores.client(service) as client:
                    client.flushall()
                    case.outcome.count("wiped")
            service.kill()
            case.outcome.faults += 1
        case.start(service, **SETTINGS, DAYBOOK_FAILPOINT="")
        _check(case, service, original, inbox, source)
        wait_until_archived(case, stores, service)
        check_books(case, service)
    case.expect(service.stop() == 0, "exit code at SIGTERM")


def _correct(service: Service, source: str, inbox: Path, case: Case) -> None:
    """Write two files with the same corrections in different orders."""
    text = service.get(f"/v1/imports/{source}/rejects", format="csv").text
    rows = [row | FIXED for row in csv.DictReader(io.StringIO(text, newline=""))]
    for name in ("one", "two"):
        case.chance.shuffle(rows)
        with (inbox / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def _check(case: Case, service: Service, original: Input, inbox: Path, source: str) -> None:
    """Check that all rows of both files are read, half of them count, and the API names each correction."""
    number = len(original.truth.rejects)

    def judged() -> bool:
        with suppress(httpx.TransportError, AssertionError):
            found = [service.import_of(inbox / name) for name in ("one.csv", "two.csv")]
            return all(each and each["rows"] == number and each["waiting"] == 0 for each in found)
        return False

    try:
        service.wait(judged, "both files are judged", ARCHIVE_SECONDS)
    except AssertionError as error:
        case.wrong(f"{error}; sources are {service.imports()}"[:2000])
        return
    applied = sum((service.import_of(inbox / name) or {"applied": 0})["applied"] for name in ("one.csv", "two.csv"))
    cell = FIXED["timestamp"][:10], "deposits", FIXED["payment_method"]
    expected = cells_of(original.truth.data) | {cell: number * Decimal(FIXED["amount"])}
    found = cells_of(service.stats("2025-12-01", "2026-12-31"))
    if applied != number or found != expected:
        case.outcome.drifted(abs(applied - number), abs(found.get(cell, Decimal(0)) - expected[cell]) * 100)
        case.wrong(f"{applied} corrections of {number} rows count: {found.get(cell)} instead of {expected[cell]}")
    rejects: list[dict[str, Any]] = service.get(f"/v1/imports/{source}/rejects", limit="10000").json()["rejects"]
    case.expect(all(each["corrected_by"] for each in rejects), "a corrected row is not linked")


CORRECTION = Kind("correction", "killed while rejects are corrected twice", 100, 5, interrupted)
