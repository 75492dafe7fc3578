"""Programs beside Daybook: producers of JSON, plain clients that read, the original system."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, Int64

from e2e.conftest import MakeService
from support.outside import OutsideMongo, OutsideRedis
from support.service import Service, Setting, archived_rejects

HEADER = "timestamp,type,payment_method,amount\n"
DAY = "2026-01-15"
QUICK_TO_EVICT: dict[str, Setting] = {"CutOffDays": 0, "DumperTaskScheduleInterval": 0.2}


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[OutsideRedis]:
    with OutsideRedis(tmp_path / "redis") as server:
        yield server.start()


@pytest.fixture(scope="module")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutsideMongo]:
    with OutsideMongo(tmp_path_factory.mktemp("mongo")) as server:
        yield server.start()


def transaction(amount: object, method: str = "paypal", **changed: object) -> str:
    return json.dumps(
        {"Timestamp": f"{DAY}T10:30:00", "Type": "deposit", "PaymentMethod": method, "Amount": amount} | changed
    )


def test_json_of_other_producers_is_aggregated(make_service: MakeService, redis_server: OutsideRedis) -> None:
    service = make_service(RedisTransactionQueueKeyName="Payments", **redis_server.settings).start()
    elements = [
        transaction(1234.56),
        f"{transaction('0.1')}\n{transaction(0.2)}\n\n{transaction(3, Type='withdrawal')}\n",
        transaction(1, method="visa", Timestamp=f"{DAY}T23:00:00-02:00").replace(": 1}", ": 1e2}"),
        transaction(1).replace(": 1}", ": 1e400}"),
        transaction(-1),
        f"{transaction(1, method='pay.pal')}\n{transaction(7)}",
        "no JSON",
        '{"half": 1}',
        b"\xff\xff\xff\xff no batch",
        b"\xfe\xed",
    ]
    with redis_server.client() as client:
        for element in elements:
            client.lpush("Payments", element)
        found = service.wait_until_imported("", 13)
        assert (found["source"], found["applied"], found["rejected"]) == ("queue", 6, 7)
        assert found["control_totals"] == {"deposits": Decimal("1341.86"), "withdrawals": Decimal("3.00")}
        assert service.stats() == {
            DAY: {"deposits": {"paypal": Decimal("1241.86")}, "withdrawals": {"paypal": Decimal("3.00")}},
            "2026-01-16": {"deposits": {"visa": Decimal("100.00")}, "withdrawals": {}},
        }
        assert client.llen("Payments") == 0
        assert client.hgetall(f"agg:{DAY}:deposits") == {"paypal": "1241.86"}
        assert json.loads(client.get(f"count:{DAY}:deposits")) == {"paypal": 4}
    assert service.stop() == 0
    rejects = archived_rejects(service.data_dir)
    assert [(reject.source, reject.line) for reject in rejects] == [
        ("queue", line) for line in (6, 7, 8, 10, 11, 12, 13)
    ]
    assert [reject.raw for reject in rejects[3:]] == [
        "no JSON",
        '{"half": 1}',
        r"\xff\xff\xff\xff no batch",
        r"\xfe\xed",
    ]
    assert all(reject.reason for reject in rejects)


def test_a_plain_redis_client_reads_exact_decimal_text(
    make_service: MakeService, redis_server: OutsideRedis, tmp_path: Path
) -> None:
    file = tmp_path / "month.csv"
    rows = [f"{DAY}T10:30:00,deposit,paypal,0.10\n"] * 10 + [
        f"{DAY}T10:30:00,deposit,crypto,0.00000001\n",
        f"{DAY}T10:30:00,withdrawal,wire,999999999999.99\n",
        f"{DAY}T10:30:00,withdrawal,wire,999999999999.99\n",
    ]
    file.write_text(HEADER + "".join(rows))
    service = make_service(CsvFilePath=file, **redis_server.settings).start()
    service.wait_until_imported(file, len(rows))
    with redis_server.client() as client:
        assert sorted(client.scan_iter("agg:*")) == [f"agg:{DAY}:deposits", f"agg:{DAY}:withdrawals"]
        assert client.hgetall(f"agg:{DAY}:deposits") == {"paypal": "1.00", "crypto": "0.00000001"}
        assert client.hgetall(f"agg:{DAY}:withdrawals") == {"wire": "1999999999999.98"}
        assert json.loads(client.get(f"count:{DAY}:deposits")) == {"paypal": 10, "crypto": 1}


def test_a_plain_mongodb_client_reads_the_documents(
    make_service: MakeService, mongo_server: OutsideMongo, tmp_path: Path
) -> None:
    file = tmp_path / "month.csv"
    file.write_text(
        f"{HEADER}{DAY}T10:30:00,deposit,paypal,0.10\n{DAY}T10:30:00,deposit,paypal,0.20\n"
        f"{DAY}T10:30:00,withdrawal,crypto,0.00000001\n"
    )
    service = make_service(
        CsvFilePath=file, MongoDbName="Plain", DumperTaskScheduleInterval=0.2, **mongo_server.settings
    ).start()
    service.wait_until_imported(file, 3)
    assert service.stop() == 0
    with mongo_server.client() as client:
        deposits, withdrawals = client["Plain"]["DailyAggregates"].find({}, {"_id": 0}).sort("Type")
        assert isinstance(deposits.pop("LastUpdated"), datetime)
        version = deposits.pop("Version")
        assert isinstance(version, Int64)
        assert version >= 1
        assert deposits == {
            "Date": DAY,
            "Type": "deposits",
            "TotalAmount": {"paypal": Decimal128("0.30")},
            "TransactionCount": {"paypal": Int64(2)},
        }
        assert withdrawals["TotalAmount"] == {"crypto": Decimal128("0.00000001")}
        indexes = client["Plain"]["DailyAggregates"].index_information()
        assert {"idx_date", "idx_type", "idx_date_type"} <= indexes.keys()
        assert indexes["idx_date_type"]["unique"]


def test_documents_of_the_original_system_are_served_and_updated(
    make_service: MakeService, mongo_server: OutsideMongo, tmp_path: Path
) -> None:
    file = tmp_path / "late.csv"
    file.write_text(f"{HEADER}{DAY}T10:30:00,deposit,paypal,0.15\n{DAY}T10:30:00,deposit,wire,1.00\n")
    originals = [
        {
            "Date": day,
            "Type": "deposits",
            "TotalAmount": {"paypal": 52763.850000000006, "visa": 10.0},
            "LastUpdated": datetime(2026, 2, 1, tzinfo=UTC),
        }
        for day in (DAY, "2026-01-16")
    ]
    with mongo_server.client() as client:
        collection = client["Original"]["DailyAggregates"]
        collection.insert_many(originals)
        service = make_service(MongoDbName="Original", **QUICK_TO_EVICT, **mongo_server.settings).start()
        untouched = {
            "deposits": {"paypal": Decimal("52763.85"), "visa": Decimal("10.00")},
            "withdrawals": {},
        }
        assert service.stats() == {DAY: untouched, "2026-01-16": untouched}
        service.stop()

        service.start(CsvFilePath=file)
        service.wait_until_imported(file, 2)
        updated = {"paypal": Decimal("52764.00"), "visa": Decimal("10.00"), "wire": Decimal("1.00")}
        assert service.stats() == {
            DAY: {"deposits": updated, "withdrawals": {}},
            "2026-01-16": untouched,
        }
        service.stop()
        document = collection.find_one({"Date": DAY})
        assert document is not None
        assert document["TotalAmount"] == {key: Decimal128(value) for key, value in updated.items()}
        assert document["Version"] == 1
        assert collection.count_documents({}) == 2
        assert collection.count_documents({"Version": {"$exists": False}}) == 1


def test_a_late_row_for_an_evicted_day_is_added_to_its_full_total(
    make_service: MakeService, redis_server: OutsideRedis, tmp_path: Path
) -> None:
    file = tmp_path / "month.csv"
    file.write_text(f"{HEADER}{DAY}T10:30:00,deposit,paypal,100.00\n{DAY}T10:30:00,deposit,visa,5.00\n")
    service = make_service(CsvFilePath=file, **QUICK_TO_EVICT, **redis_server.settings).start()
    service.wait_until_imported(file, 2)
    with redis_server.client() as client:
        wait_until_evicted(service, client)
        assert service.stats()[DAY]["deposits"] == {"paypal": Decimal("100.00"), "visa": Decimal("5.00")}
        with file.open("a") as more:
            more.write(f"{DAY}T11:30:00,deposit,paypal,0.01\n")
        service.wait_until_imported(file, 3)
        full = {"paypal": Decimal("100.01"), "visa": Decimal("5.00")}
        assert service.stats()[DAY]["deposits"] == full
        wait_until_evicted(service, client)
        client.lpush("TransactionQueue", transaction("0.99"))
        service.wait_until_imported("", 1)
        full["paypal"] = Decimal("101.00")
        assert service.stats()[DAY]["deposits"] == full
        wait_until_evicted(service, client)
        assert service.stats()[DAY]["deposits"] == full


def wait_until_evicted(service: Service, client: Any) -> None:
    service.wait(lambda: not client.exists(f"agg:{DAY}:deposits"), f"{DAY} is evicted")
