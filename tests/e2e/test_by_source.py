"""Every figure answers from which files it comes: over HTTP, on the command line, in the books."""

import csv
import io
import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from e2e.conftest import MakeService
from support.commands import Commands
from support.oracle import Truth, truth_of
from support.outside import OutsideMongo
from support.sample_file import generated
from support.service import Service, Setting

RANGE = {"from_date": "2026-01-01", "to_date": "2026-01-31"}
JANUARY = ("--from", "2026-01-01", "--to", "2026-01-31")
BUSY: dict[str, Setting] = {"DumperTaskScheduleInterval": 0.1, "CutOffDays": 0}


def by_source(answer: dict[str, Any]) -> dict[str, dict[tuple[str, str, str], tuple[Decimal, int]]]:
    found: dict[str, dict[tuple[str, str, str], tuple[Decimal, int]]] = {}
    for day, types in answer["data"].items():
        for kind, methods in types.items():
            for method, sources in methods.items():
                for source, total in sources.items():
                    cell = day, kind, method
                    found.setdefault(source, {})[cell] = Decimal(total["amount"]), total["transactions"]
    return found


def expected(truth: Truth) -> dict[tuple[str, str, str], tuple[Decimal, int]]:
    return {
        (day, kind, method): (amount, truth.counts[day, kind, method])
        for day, types in truth.data.items()
        for kind, methods in types.items()
        for method, amount in methods.items()
    }


def asked(service: Service, **query: str) -> dict[str, Any]:
    answer = service.get("/v1/aggregates/contributions", **(RANGE | query))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.text, parse_float=Decimal, parse_int=int)
    return found


def test_each_file_has_its_share(make_service: MakeService, tmp_path: Path) -> None:
    files = [generated(tmp_path / f"{seed}.csv", rows=2000, bad_rows=0.01, seed=seed) for seed in (1, 2)]
    service = make_service(CsvFilePath=tmp_path, ReplaySpeed=0, **BUSY).start()
    for file in files:
        service.wait_until_imported(file, 2000)
    check_shares(service, files)
    service.wait_for_log("evicted")
    check_shares(service, files)
    assert service.stop() == 0
    service.start(KeepContributions="false")
    check_shares(service, files)
    with files[0].open("a") as grown:
        grown.write("2026-01-15T10:00:00,deposit,wire,1.00,\n")
    service.wait_until_imported(files[0], 2001)
    complete = {source["path"]: source["complete"] for source in asked(service)["sources"].values()}
    assert complete == {str(files[0]): False, str(files[1]): True}
    books = service.get("/v1/reconcile").json()
    assert books["balanced"]
    assert {each["path"]: each["contributions"] for each in books["sources"]} == {
        str(files[0]): "incomplete",
        str(files[1]): "same",
    }


def check_shares(service: Service, files: list[Path]) -> None:
    answer = asked(service)
    paths = {source: each["path"] for source, each in answer["sources"].items()}
    assert all(each["complete"] for each in answer["sources"].values())
    assert {paths[source]: cells for source, cells in by_source(answer).items()} == {
        str(file): expected(truth_of(file)) for file in files
    }
    one = next(iter(paths))
    assert by_source(asked(service, source=one)) == {one: by_source(answer)[one]}
    some_days = asked(service, from_date="2026-01-05", to_date="2026-01-06")["data"]
    assert some_days == {day: answer["data"][day] for day in ("2026-01-05", "2026-01-06")}


def test_on_mongodb(make_service: MakeService, tmp_path: Path) -> None:
    file = generated(tmp_path / "month.csv", rows=2000, bad_rows=0.01, seed=3)
    with OutsideMongo(tmp_path / "mongo") as server:
        service = make_service(CsvFilePath=file, ReplaySpeed=0, **BUSY, **server.start().settings).start()
        service.wait_until_imported(file, 2000)
        service.wait_for_log("evicted")
        check_shares(service, [file])
        assert service.get("/v1/reconcile").json()["balanced"]
        assert service.stop() == 0


def test_bad_questions(make_service: MakeService) -> None:
    service = make_service().start()
    path = "/v1/aggregates/contributions"
    assert service.get(path, **RANGE).json() == {"data": {}, "sources": {}}
    assert service.get(path, **RANGE, source="none").status_code == 404
    assert service.get(path, from_date="2026-02-01", to_date="2026-01-01").status_code == 400
    assert service.get(path, from_date="2026-02-01").status_code == 422


def test_on_the_command_line(daybook: Commands, tmp_path: Path) -> None:
    files = [generated(tmp_path / f"{seed}.csv", rows=500, seed=seed) for seed in (1, 2)]
    daybook.run("import", *files)
    told = daybook.run("stats", *JANUARY, "--by", "source", "--format", "csv")
    shares: dict[str, dict[tuple[str, str, str], tuple[Decimal, int]]] = {}
    for row in csv.DictReader(io.StringIO(told.output)):
        cell = row["date"], row["type"], row["payment_method"]
        shares.setdefault(row["file"], {})[cell] = Decimal(row["amount"]), int(row["transactions"])
    assert shares == {str(file): expected(truth_of(file)) for file in files}
    answer = json.loads(
        daybook.run("stats", *JANUARY, "--by", "source", "--format", "json").output, parse_float=Decimal
    )
    assert sorted(by_source(answer).values(), key=str) == sorted(shares.values(), key=str)
    table = daybook.run("stats", *JANUARY, "--by", "source").output
    assert all(str(file) in table for file in files)


def test_what_differs_from_a_ledger_is_said(daybook: Commands, tmp_path: Path) -> None:
    file = generated(tmp_path / "month.csv", rows=500)
    daybook.run("import", file)
    assert "no difference" in daybook.run("verify").output
    with closing(sqlite3.connect(daybook.data_dir / "archive.sqlite", isolation_level=None)) as archive:
        assert archive.execute("DELETE FROM Contributions").rowcount > 0
    told = daybook.run("verify", code=1)
    assert "contributions" in told.output
    assert "deposits 0.00, withdrawals 0.00 (0)" in told.output


def test_what_is_incomplete_is_said(daybook: Commands, tmp_path: Path) -> None:
    file = generated(tmp_path / "month.csv", rows=500)
    daybook.settings |= {"KeepContributions": "false"}
    daybook.run("import", file)
    told = daybook.run("stats", *JANUARY, "--by", "source", "--format", "csv")
    assert told.output == "date,type,payment_method,source,file,amount,transactions\n"
    assert f"{file}: incomplete: some of its rows were applied while KeepContributions was off" in told.log
    verified = daybook.run("verify").output
    assert "1 source has incomplete contributions" in verified
    assert "no difference" in verified
