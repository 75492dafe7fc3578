"""Requests made up from the OpenAPI document of a running service: every answer is one that it promises.

Schemathesis reads the document from the service, so a route that is added later is tested too.
"""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from e2e.conftest import MakeService
from support.mongo_server import free_port
from support.sample_file import generated
from support.service import Service, environment
from support.spawner import Spawner

ROWS = 500
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
SECONDS = 160
WELL = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 404, 409]  # what a schema cannot say: an order, what there is, its state
"""
AWAY = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 404, 409, 503]
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503]
"""


@pytest.fixture(scope="module")
def service(spawner: Spawner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("openapi")
    file = generated(folder / "month.csv", rows=ROWS, bad_rows=0.1, seed=1)
    with Service(folder, spawner, CsvFilePath=file) as running:
        running.start().wait_until_imported(file, ROWS)
        yield running


def try_out(service: Service, folder: Path, config: str, *options: str) -> None:
    """Fails with Schemathesis' report when an answer is not as promised, or an operation was left out."""
    (folder / "schemathesis.toml").write_text(config)
    report = folder / "report.json"
    words = [
        *(str(SCHEMATHESIS), "run", f"{service.address}/openapi.json", "--checks", "all", "--seed", "1"),
        *("--suppress-health-check", "all", "--report-json-path", str(report), *options),
    ]
    done = subprocess.run(
        words,
        env=environment({}),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text())
    document = service.get("/openapi.json").json()
    assert found["operations"]["tested"] == sum(len(methods) for methods in document["paths"].values()) >= 4
    assert found["test_cases"]["generated"] > found["operations"]["tested"]


def test_every_answer_is_as_the_document_says(service: Service, tmp_path: Path) -> None:
    try_out(service, tmp_path, WELL, "--max-examples", "40")
    assert service.get("/readyz").status_code == 200


def test_without_redis_every_answer_is_as_the_document_says(make_service: MakeService, tmp_path: Path) -> None:
    service = make_service(RedisHost="127.0.0.1", RedisPort=free_port()).launch().wait_until_answering()
    assert service.get("/readyz").status_code == 503
    try_out(service, tmp_path, AWAY, "--max-examples", "20", "--mode", "positive")


@pytest.mark.parametrize(
    "query",
    [
        "from_date=%ff%fe&to_date=%00",
        "from_date=%ED%A0%80&to_date=2026-01-01",
        "from_date=2026-01-01&from_date=2026-01-02&to_date=",
        "from_date=%D9%A2026-01-01&to_date=2026-01-31",
        "&&&=;=%",
        f"from_date={'9' * 30_000}&to_date=2026-01-31",
    ],
)
def test_a_strange_query_is_422(service: Service, query: str) -> None:
    answer = service.get(f"/stats?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /stats?from_date=\xff\xfe&to_date=\xc3 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\xff\x80/%00%ff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"PUT /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 65_536, 431),
        (b"GET /" + b"x" * 65_536 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /livez HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET /%ff%80/%00%ff HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
)
def test_bytes_that_are_hardly_a_request(service: Service, request_bytes: bytes, status: int) -> None:
    assert service.address is not None
    host, _, port = service.address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        with suppress(OSError):
            connection.sendall(request_bytes)
        with suppress(ConnectionResetError):
            assert connection.recv(100).startswith(b"HTTP/1.1 %d " % status)
    assert service.get("/livez").status_code == 200
