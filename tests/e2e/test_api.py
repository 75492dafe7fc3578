"""The HTTP answers of one running service."""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from support.service import Service
from support.spawner import Spawner

CONTENT = b"""timestamp,type,payment_method,amount
2026-01-15T10:30:00,deposit,paypal,0.10
2026-01-15T10:30:00,deposit,paypal,0.20
2026-01-15T10:30:00,deposit,visa,999999999999.99999999
2026-01-15T10:30:00,deposit,visa,999999999999.99999999
2026-01-15T10:30:00,deposit,wire,5
2026-01-15T10:30:00,deposit,crypto,0.00000001
2026-01-17T10:30:00,withdrawal,paypal,7.5
0001-01-01T00:00:00,deposit,paypal,1.00
9999-12-31T23:59:59,withdrawal,paypal,2.00
2026-01-17T10:30:00,withdrawal,paypal,nothing
"""
ROWS = 10
DAY_15 = (
    '"2026-01-15":{"deposits":{"crypto":0.00000001,"paypal":0.30,"visa":1999999999999.99999998,"wire":5.00},'
    '"withdrawals":{}}'
)
DAY_17 = '"2026-01-17":{"deposits":{},"withdrawals":{"paypal":7.50}}'


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("api") / "few.csv"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(scope="module")
def service(spawner: Spawner, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("service"), spawner, CsvFilePath=file) as running:
        running.start().wait_until_imported(file, ROWS)
        yield running


def test_the_text_of_the_numbers_is_exact(service: Service) -> None:
    answer = service.get("/stats", from_date="2026-01-01", to_date="2026-01-31")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == f'{{"data":{{{DAY_15},{DAY_17}}}}}'


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        ("2026-01-15", "2026-01-15", ["2026-01-15"]),
        ("2026-01-15", "2026-01-17", ["2026-01-15", "2026-01-17"]),
        ("2026-01-16", "2026-01-16", []),
        ("2026-01-16", "2026-01-18", ["2026-01-17"]),
        ("2025-01-01", "2026-01-14", []),
    ],
)
def test_days_without_data_are_absent(service: Service, first: str, last: str, days: list[str]) -> None:
    data = service.stats(first, last)
    assert list(data) == days
    assert all(list(types) == ["deposits", "withdrawals"] for types in data.values())


def test_all_days_answer_at_once(service: Service) -> None:
    begun = time.monotonic()
    data = service.stats("0001-01-01", "9999-12-31")
    assert time.monotonic() - begun < 1
    assert list(data) == ["0001-01-01", "2026-01-15", "2026-01-17", "9999-12-31"]
    assert data["9999-12-31"] == {"deposits": {}, "withdrawals": {"paypal": Decimal("2.00")}}


def test_a_reversed_range_is_400(service: Service) -> None:
    answer = service.get("/stats", from_date="2026-01-02", to_date="2026-01-01")
    assert answer.status_code == 400
    assert answer.json() == {"detail": "From parameter must be before or equal to To"}


@pytest.mark.parametrize(
    ("parameters", "places"),
    [
        ({}, ["from_date", "to_date"]),
        ({"from_date": "2026-01-01"}, ["to_date"]),
        ({"from_date": "2026-02-30", "to_date": "2026-03-01"}, ["from_date"]),
        ({"from_date": "2026-01-01", "to_date": "yesterday"}, ["to_date"]),
        ({"from_date": "1767225600", "to_date": "2026-01-01T00:00:00"}, ["from_date", "to_date"]),
        ({"from_date": "2026-1-1", "to_date": ""}, ["from_date", "to_date"]),
    ],
)
def test_a_bad_date_is_422_in_the_shape_of_fastapi(
    service: Service, parameters: dict[str, str], places: list[str]
) -> None:
    answer = service.get("/stats", **parameters)
    assert answer.status_code == 422
    details = answer.json()["detail"]
    assert [detail["loc"] for detail in details] == [["query", place] for place in places]
    for detail in details:
        assert {"type", "loc", "msg", "input"} <= detail.keys()
        missing = parameters.get(detail["loc"][1]) is None
        assert (detail["type"] == "missing") is missing


def test_imports_tell_all_of_a_source(service: Service, file: Path) -> None:
    (found,) = service.imports()
    source = found.pop("source")
    assert re.fullmatch(r"[0-9a-f-]{12,}", source)
    assert found == {
        "path": str(file),
        "fingerprint": hashlib.sha256(CONTENT).hexdigest(),
        "size": len(CONTENT),
        "read_bytes": len(CONTENT),
        "rows": ROWS,
        "applied": ROWS - 1,
        "rejected": 1,
        "waiting": 0,
        "state": "done",
        "problem": "",
        "rereads": 0,
        "profile": None,
        "control_totals": {"deposits": "2000000000006.29999999", "withdrawals": "9.50"},
    }


def test_health(service: Service) -> None:
    assert service.get("/livez").json() == {"status": "ok"}
    assert service.get("/readyz").json() == {"ready": True, "checks": {}, "waits": {}}
    assert service.get("/readyz?verbose").json() == {
        "ready": True,
        "checks": {"redis": "ok", "sqlite": "ok", "workers": "ok"},
        "waits": {},
    }


def test_the_documentation_works_offline(service: Service) -> None:
    page = service.get("/docs")
    assert page.status_code == 200
    places = re.findall(r'(?:src|href)\s*=\s*"([^"]+)"', page.text)
    assert len(places) >= 3
    assert re.findall(r"(?:https?:)?//[^\s\"'<>]+", page.text) == []
    for place in places:
        answer = service.get(place)
        assert answer.status_code == 200, place
        assert answer.content
    document = json.loads(service.get("/openapi.json").text)
    assert {"/stats", "/livez", "/readyz", "/v1/imports"} <= document["paths"].keys()
    assert {"200", "400", "422", "503"} <= document["paths"]["/stats"]["get"]["responses"].keys()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/stats?from_date=2026-01-01&to_date=2026-01-31", 200),
        ("/stats?to_date=2026-01-31&from_date=2026-01-01", 200),
        ("/stats?from_date=2026-01-02&to_date=2026-01-01", 400),
        ("/stats?from_date=2026-01-01", 422),
        ("/v1/aggregates?from_date=2026-01-01&to_date=2026-01-31&provenance=true", 200),
        ("/v1/restatements", 200),
        ("/v1/reconcile", 200),
        ("/v1/imports", 200),
        ("/v1/imports/{source}/rejects", 200),
        ("/v1/imports/{source}/rejects?format=csv", 200),
        ("/v1/imports/none/rejects", 404),
        ("/livez", 200),
        ("/readyz?verbose", 200),
        ("/docs", 200),
        ("{static}", 200),
        ("/redoc", 200),
        ("/openapi.json", 200),
        ("/nothing", 404),
    ],
)
def test_head_is_get_without_the_body(service: Service, path: str, status: int) -> None:
    static = re.findall(r'src="([^"]+)"', service.get("/docs").text)[0]
    address = f"{service.address}{path.format(source=service.imports()[0]['source'], static=static)}"
    with httpx.Client(trust_env=False) as client:
        by_get = client.get(address)
        by_head = client.head(address)
        assert by_head.status_code == by_get.status_code == status
        assert by_head.content == b""
        assert headers_of(by_head) == headers_of(by_get)
        assert ("content-length" in by_head.headers) is ("format=csv" not in path)
        assert client.get(address).content == by_get.content


def headers_of(answer: httpx.Response) -> dict[str, str]:
    """Without those of the moment, and of a body that comes in pieces."""
    return {name: text for name, text in answer.headers.items() if name not in {"date", "transfer-encoding"}}


def test_what_is_not_there_is_404(service: Service) -> None:
    answer = service.get("/nothing")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
