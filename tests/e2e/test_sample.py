"""The sample months, to the cent, on every pair of stores; again and again; under another name."""

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pymongo
import pytest

from e2e.conftest import MakeService
from support.mongo_server import mongod
from support.oracle import Data, truth_of
from support.outside import OutsideMongo, OutsideRedis
from support.service import Service, Setting

ROOT = Path(__file__).parents[2]
MONTH = ROOT / "tests" / "data" / "real_month.csv"
EXPECTED = ROOT / "tests" / "data" / "real_month.expected.json"
SHIPPED = ROOT / "data" / "transactions_1_month.csv"
ROWS = 5000


def expected_data() -> Data:
    def amounts(found: dict[str, Any]) -> dict[str, Any]:
        return {key: Decimal(value) if isinstance(value, str) else value for key, value in found.items()}

    data: Data = json.loads(EXPECTED.read_text(), object_hook=amounts)["data"]
    return data


@contextmanager
def embedded(_: Path) -> Iterator[dict[str, Setting]]:
    yield {}


@contextmanager
def redis_and_secantus(folder: Path) -> Iterator[dict[str, Setting]]:
    with OutsideRedis(folder / "redis") as redis, OutsideMongo(folder / "mongo") as mongo:
        redis.start()
        mongo.start()
        yield redis.settings | mongo.settings


@contextmanager
def redis_and_mongod(folder: Path) -> Iterator[dict[str, Setting]]:
    with ExitStack() as stack:
        mongo = stack.enter_context(mongod())
        redis = stack.enter_context(OutsideRedis(folder / "redis")).start()
        database = f"daybook-e2e-{uuid.uuid4().hex[:12]}"
        client: pymongo.MongoClient[dict[str, Any]] = stack.enter_context(pymongo.MongoClient(mongo.uri))
        stack.callback(client.drop_database, database)
        yield {**redis.settings, "MongoDbUri": mongo.uri, "MongoDbName": database}


@pytest.mark.parametrize("stores", [embedded, redis_and_secantus, redis_and_mongod])
def test_the_month_is_exact_after_restarts_and_a_second_import(
    stores: Any, make_service: MakeService, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    month = folder / "transactions_1_month.csv"
    shutil.copy(MONTH, month)
    with stores(tmp_path) as settings:
        service = make_service(CsvFilePath=folder, DumperTaskScheduleInterval=0.5, **settings)
        service.start().wait_until_imported(month, ROWS)
        assert service.stats() == expected_data()
        service.wait_for_log("evicted")
        check(service, month)
        for _ in range(3):
            assert service.stop() == 0
            service.start()
            service.wait_for_log("already imported")
            check(service, month)
        copy = folder / "renamed.csv"
        shutil.copy(month, copy)
        service.wait_for_log(f"already imported file={copy}")
        check(service, month)


def check(service: Service, month: Path) -> None:
    assert service.stats() == expected_data()
    (found,) = service.imports()
    assert found["path"] == str(month)
    assert (found["rows"], found["applied"], found["rejected"], found["waiting"]) == (ROWS, ROWS, 0, 0)


def test_the_shipped_sample_is_exact(make_service: MakeService) -> None:
    truth = truth_of(SHIPPED)
    assert (truth.rows, truth.rejects) == (ROWS, {})
    service = make_service(CsvFilePath=SHIPPED).start()
    found = service.wait_until_imported(SHIPPED, ROWS)
    assert service.stats() == truth.data
    assert found["control_totals"] == {kind: truth.total(kind) for kind in ("deposits", "withdrawals")}


def test_the_oracle_agrees_with_the_expected_file() -> None:
    assert truth_of(MONTH).data == expected_data()
