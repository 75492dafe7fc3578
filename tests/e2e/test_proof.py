"""What users check for themselves: verify, reconcile, where totals come from, what was known when, rejects and back."""

import csv
import io
import json
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from e2e.conftest import MakeService
from support.commands import Commands
from support.oracle import truth_of
from support.sample_file import generated
from support.service import Service, Setting, embedded_socket

EVICTING: dict[str, Setting] = {"DumperTaskScheduleInterval": 0.1, "CutOffDays": 0}
LATE = "timestamp,type,payment_method,amount\n2026-01-03T10:00:00,deposit,paypal,0.07\n2026-01-03,deposit,late,1\n"
RANGE = {"from_date": "2026-01-01", "to_date": "2026-01-31"}


def answer(service: Service, path: str, **parameters: str) -> Any:
    found = service.get(path, **parameters)
    assert found.status_code == 200, found.text
    return json.loads(found.text, parse_float=Decimal)


def totals(data: dict[str, Any]) -> dict[str, Any]:
    """`/v1/aggregates`' data in the shape of `/stats`."""
    return {
        day: {
            kind: {name: Decimal(each["amount"]) for name, each in methods.items()} for kind, methods in types.items()
        }
        for day, types in data.items()
    }


def wait_until_evicted(service: Service) -> None:
    service.wait(lambda: not answer(service, "/v1/reconcile")["buckets"], "all buckets have left Redis")


@pytest.fixture
def evicted(make_service: MakeService, tmp_path: Path) -> Service:
    """A service whose month lies in the archive."""
    file = generated(tmp_path / "month.csv", rows=2000, bad_rows=0.01)
    service = make_service(CsvFilePath=tmp_path / "*.csv", **EVICTING).start()
    service.wait_until_imported(file, 2000)
    wait_until_evicted(service)
    return service


def test_a_late_row_is_told_and_what_was_known_before_it(evicted: Service, tmp_path: Path) -> None:
    before = evicted.stats()
    assert answer(evicted, "/v1/restatements") == {"restatements": [], "next": None}
    moment = datetime.now(UTC)
    time.sleep(0.01)
    late = tmp_path / "late.csv"
    late.write_text(LATE)
    source = evicted.wait_until_imported(late, 2)["source"]

    old = before["2026-01-03"]["deposits"]["paypal"]
    for _ in range(2):
        first, second = answer(evicted, "/v1/restatements")["restatements"]
        assert first.pop("at") == second.pop("at")
        common = {"date": "2026-01-03", "type": "deposits", "transactions": 1, "source": source}
        assert first["offset"] in (0, LATE.index("\n") + 1)
        common |= {"offset": first["offset"], "end_offset": len(LATE), "version": first["version"]}
        assert first == common | {"payment_method": "late", "old": 0, "new": 1}
        assert second == common | {"payment_method": "paypal", "old": old, "new": old + Decimal("0.07")}
        known = answer(evicted, "/v1/aggregates", **RANGE, as_of=moment.isoformat())
        assert known["unknown"] == []
        assert totals(known["data"]) == before
        now = answer(evicted, "/v1/aggregates", **RANGE, as_of=(moment + timedelta(days=1)).isoformat())
        assert totals(now["data"]) == evicted.stats() != before
        wait_until_evicted(evicted)
    long_ago = answer(evicted, "/v1/aggregates", **RANGE, as_of="2026-02-01")
    assert (long_ago["data"], len(long_ago["unknown"])) == ({}, 31)
    assert evicted.stop() == 0


def test_where_totals_come_from(evicted: Service, tmp_path: Path) -> None:
    archived = answer(evicted, "/v1/aggregates", **RANGE, provenance="true")
    assert totals(archived["data"]) == evicted.stats()
    assert archived["provenance"].keys() == archived["data"].keys()
    for origin in archived["provenance"].values():
        assert origin["rows_waiting"] is False
        assert {origin[kind]["store"] for kind in ("deposits", "withdrawals")} == {"archive"}
    written = datetime.fromisoformat(archived["provenance"]["2026-01-03"]["deposits"]["as_of"])
    assert datetime.now(UTC) - timedelta(minutes=1) < written <= datetime.now(UTC)
    assert evicted.stop() == 0

    evicted.start(DumperTaskScheduleInterval=60, CutOffDays=36500)
    late = tmp_path / "late.csv"
    late.write_text(LATE)
    evicted.wait_until_imported(late, 2)
    found = answer(evicted, "/v1/aggregates", **RANGE, provenance="true")["provenance"]
    assert found["2026-01-03"]["deposits"]["store"] == "redis"
    assert found["2026-01-03"]["deposits"]["version"] == archived["provenance"]["2026-01-03"]["deposits"]["version"] + 1
    assert found["2026-01-03"]["withdrawals"] == archived["provenance"]["2026-01-03"]["withdrawals"]
    assert evicted.stop() == 0


def test_the_books_balance_and_a_wrong_cent_is_found(make_service: MakeService, tmp_path: Path) -> None:
    file = generated(tmp_path / "month.csv", rows=2000, bad_rows=0.01)
    truth = truth_of(file)
    service = make_service(CsvFilePath=file, DumperTaskScheduleInterval=0.1, CutOffDays=36500).start()
    service.wait_until_imported(file, 2000)
    with redis.Redis(unix_socket_path=str(embedded_socket(service.data_dir)), decode_responses=True) as client:
        client.lpush("TransactionQueue", '{"Timestamp":"2026-01-03","Type":"deposit","PaymentMethod":"x","Amount":2.5}')
        service.wait(
            lambda: answer(service, "/v1/reconcile")["transactions"]["sources"] == truth.applied + 1, "applied"
        )
        service.wait(
            lambda: {each["state"] for each in answer(service, "/v1/reconcile")["buckets"]} == {"same"}, "dumped"
        )
        books = answer(service, "/v1/reconcile")
        assert (books["balanced"], books["steady"], books["waiting_elements"]) == (True, True, 0)
        assert books["deposits"]["sources"] == books["deposits"]["buckets"] == truth.total("deposits") + Decimal("2.5")
        accounts = {each["path"]: each for each in books["sources"]}
        assert [accounts[str(file)][name] for name in ("rows", "applied", "rejected", "waiting")] == [2000, 1980, 20, 0]
        assert accounts[""]["applied"] == 1

        right = client.hget("agg:2026-01-03:deposits", "paypal")
        client.hset("agg:2026-01-03:deposits", "paypal", str(Decimal(str(right)) + Decimal("0.01")))
        books = answer(service, "/v1/reconcile")
        assert (books["balanced"], books["deposits"]["balanced"], books["withdrawals"]["balanced"]) == (
            False,
            False,
            True,
        )
        assert [each["date"] for each in books["buckets"] if each["state"] == "different"] == ["2026-01-03"]
        client.hset("agg:2026-01-03:deposits", "paypal", str(right))
        assert answer(service, "/v1/reconcile")["balanced"] is True
    assert service.stop() == 0


def test_verify_finds_one_cent_and_one_row(daybook: Commands, tmp_path: Path) -> None:
    first = generated(tmp_path / "first.csv", rows=1000, bad_rows=0.02, seed=1)
    second = generated(tmp_path / "second.csv", rows=500, seed=2)
    daybook.run("import", first, second)
    told = daybook.run("verify", first, second).output
    assert f"{first}: recomputed: 1000 rows = 980 applied + 20 rejected" in told
    assert "no difference" in told
    assert "no difference" in daybook.run("verify").output
    assert "500 transactions of other sources were not recomputed" in daybook.run("verify", first).output

    never = generated(tmp_path / "never.csv", rows=10, seed=3)
    assert "never imported" in daybook.run("verify", never, code=1).output

    daybook.settings["MaxResidentBuckets"] = 100
    with closing(sqlite3.connect(daybook.data_dir / "archive.sqlite")) as archive, archive:
        (text,) = archive.execute(
            "SELECT TotalAmount FROM DailyAggregates WHERE Date = '2026-01-03' AND Type = 'deposits'"
        ).fetchone()
        wrong = json.loads(text)
        right = wrong["paypal"]
        wrong["paypal"] = str(Decimal(right) + Decimal("0.01"))
        archive.execute(
            "UPDATE DailyAggregates SET TotalAmount = ? WHERE Date = '2026-01-03' AND Type = 'deposits'",
            (json.dumps(wrong),),
        )
    told = daybook.run("verify", code=1).output
    assert "2026-01-03 deposits paypal" in told
    assert right in told
    assert wrong["paypal"] in told
    assert told.endswith("1 difference\n")
    with closing(sqlite3.connect(daybook.data_dir / "archive.sqlite")) as archive, archive:
        archive.execute(
            "UPDATE DailyAggregates SET TotalAmount = ? WHERE Date = '2026-01-03' AND Type = 'deposits'", (text,)
        )
    daybook.run("verify")

    content = first.read_bytes()
    first.write_bytes(content.replace(b",paypal,", b",PAYPAL,", 1))
    told = daybook.run("verify", code=1).output
    assert "content (SHA-256)" in told
    assert "PAYPAL" in told
    first.write_bytes(content[: len(content) // 2])
    assert "where the source's ledger is" in daybook.run("verify", code=1).output
    first.unlink()
    copy = tmp_path / "copy.csv"
    copy.write_bytes(content)
    assert f"{copy}: recomputed: 1000 rows" in daybook.run("verify", copy).output
    assert "980 transactions of other sources were not recomputed" in daybook.run("verify").output


def test_verify_when_another_file_took_the_path(daybook: Commands, tmp_path: Path) -> None:
    file = tmp_path / "x[" / "jan]" / "daily.csv"  # what a terminal library could take for markup
    file.parent.mkdir(parents=True)
    daybook.run("import", generated(file, rows=10, seed=1))
    generated(tmp_path / "next.csv", rows=20, seed=2).replace(file)
    daybook.run("import", file)
    told = daybook.run("verify").output
    assert f"{file}: recomputed: 20 rows" in told
    assert f"{file}: another file now" in told
    assert "10 transactions of other sources were not recomputed" in told
    generated(file, rows=10, seed=1)  # the first one again
    assert f"{file}: recomputed: 10 rows" in daybook.run("verify").output
    file.write_bytes(file.read_bytes().replace(b"deposit", b"refund", 1))
    assert f"{file} " in daybook.run("verify", code=1).output


def test_verify_beside_a_service(daybook: Commands, make_service: MakeService, tmp_path: Path) -> None:
    file = generated(tmp_path / "month.csv", rows=3000, bad_rows=0.01)
    service = make_service(CsvFilePath=file, MaxResidentBuckets=100, **EVICTING).start()
    service.wait_until_imported(file, 3000)
    daybook.settings["DataDir"] = service.data_dir
    assert "no difference" in daybook.run("verify", file).output
    assert service.stop() == 0


def test_rejects_out_and_back_through_the_api_and_the_command(
    daybook: Commands, make_service: MakeService, tmp_path: Path
) -> None:
    file = generated(tmp_path / "month.csv", rows=1000, bad_rows=0.05)
    truth = truth_of(file)
    service = make_service(CsvFilePath=file).start()
    source = service.wait_until_imported(file, 1000)["source"]
    path = f"/v1/imports/{source}/rejects"
    pages, after = [], "0"
    while after != "None":
        page = answer(service, path, limit="20", after=after)
        pages += page["rejects"]
        after = str(page["next"])
    assert [(each["line"], each["raw"]) for each in pages] == [(line, raw) for line, (raw, _) in truth.rejects.items()]
    assert all(each["corrected_by"] is None for each in pages)

    table = service.get(path, format="csv")
    assert table.headers["content-type"].startswith("text/csv")
    daybook.settings["DataDir"] = service.data_dir
    assert daybook.run("rejects", "export", file).output == table.text
    rows = list(csv.DictReader(io.StringIO(table.text, newline="")))
    assert [int(row["rejected_line"]) for row in rows] == list(truth.rejects)
    corrected = tmp_path / "corrected.csv"
    good = {"timestamp": "2026-01-09T00:00:00", "type": "deposit", "payment_method": "fixed", "amount": "2.00"}
    with corrected.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | good for row in rows)
    told = daybook.run("rejects", "import", corrected).output
    assert f"{len(rows)} rows = {len(rows)} applied + 0 rejected + 0 waiting" in told
    assert "already imported" in daybook.run("rejects", "import", corrected).output
    assert service.stats()["2026-01-09"]["deposits"]["fixed"] == 2 * len(rows)
    by = answer(service, path)["rejects"][0]["corrected_by"]
    assert by == {"source": service.import_of(corrected)["source"], "line": 2}  # type: ignore[index]
    assert len(service.get(path, format="csv").text.splitlines()) == 1
    assert "no columns rejected_source" in daybook.run("rejects", "import", file, code=1).log
    assert "neither the path nor the id" in daybook.run("rejects", "export", "nothing", code=1).log
    assert service.get("/v1/imports/nothing/rejects").status_code == 404
    assert service.stop() == 0


def test_bad_questions_have_clear_answers(evicted: Service) -> None:
    def status(path: str, **parameters: str) -> httpx.Response:
        return evicted.get(path, **parameters)

    assert status("/v1/aggregates", from_date="2026-02-01", to_date="2026-01-01").status_code == 400
    assert status("/v1/restatements", from_date="2026-02-01", to_date="2026-01-01").status_code == 400
    assert status("/v1/aggregates", **RANGE, as_of="yesterday").status_code == 422
    for extreme in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        assert status("/v1/aggregates", **RANGE, as_of=extreme).status_code == 422
    assert status("/v1/aggregates", **RANGE, as_of="0001-01-01").json()["data"] == {}
    assert status("/v1/restatements", limit="0").status_code == 422
    assert status("/v1/restatements", after="~", limit="1").json() == {"restatements": [], "next": None}
