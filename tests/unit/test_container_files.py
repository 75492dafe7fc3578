"""The container files, as far as they can be checked without an engine."""

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
import yaml

from daybook import settings

ROOT = Path(__file__).parents[2]

CONTRACT = {
    "RedisHost": "redis",
    "RedisPort": "6379",
    "RedisTransactionQueueKeyName": "TransactionQueue",
    "CsvFilePath": "/app/data/transactions_1_month.csv",
    "MongoDbUri": "mongodb://mongodb:27017/",
    "MongoDbName": "TransactionsDb",
    "GracefulShutDownTimeout": "10",
    "ForceShutDownTimeout": "2",
    "TransactionCkeckTimeout": "0.5",
    "CutOffDays": "7",
    "CutOffMinutes": "0",
    "CutOffSeconds": "0",
    "DumperTaskScheduleInterval": "10",
    "ReplaySpeed": "1",
    "DataDir": "/app/data",
    "HttpHost": "0.0.0.0",
    "HttpPort": "8000",
}
"""The design's table of variables with their defaults in docker-compose."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found = compose["services"]
    assert isinstance(found, dict)
    return found


def test_compose_accepts_the_file_where_compose_is_installed(compose: dict[str, Any]) -> None:
    assert compose["name"] == "daybook"
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "compose", "version"], check=False, capture_output=True).returncode == 0:
        checked = subprocess.run(
            [docker, "compose", "--file", str(ROOT / "docker-compose.yml"), "config", "--quiet"],
            check=False,
            capture_output=True,
            text=True,
        )
        assert (checked.returncode, checked.stderr) == (0, "")


def test_services_and_variables_are_the_contract_s(services: dict[str, Any]) -> None:
    assert list(services) == ["redis", "mongodb", "app"]
    assert services["app"]["environment"] == CONTRACT
    assert services["app"]["ports"] == ["8000:8000"]
    assert not [name for name in ("redis", "mongodb") if services[name].keys() & {"environment", "ports"}]


def test_the_settings_take_every_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in CONTRACT.items():
        monkeypatch.setenv(name, value)
    loaded = settings.load()
    uri = loaded.mongo_uri
    assert uri is not None
    taken = [
        loaded.redis_host, loaded.redis_port, loaded.queue_key, loaded.csv_file_path,
        uri.get_secret_value(), loaded.mongo_database, loaded.graceful_shutdown_seconds,
        loaded.force_shutdown_seconds, loaded.queue_wait_seconds, loaded.cut_off_days,
        loaded.cut_off_minutes, loaded.cut_off_seconds, loaded.dump_interval_seconds,
        loaded.replay_speed, loaded.data_dir, loaded.http_host, loaded.http_port,
    ]  # fmt: skip
    assert [f"{value:g}" if isinstance(value, float) else str(value) for value in taken] == list(CONTRACT.values())


def test_redis_keeps_an_append_only_file_and_evicts_nothing(services: dict[str, Any]) -> None:
    command = services["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert command[0] == "redis-server"
    assert options == {"--appendonly": "yes", "--maxmemory-policy": "noeviction"}


def test_data_is_in_named_volumes(compose: dict[str, Any], services: dict[str, Any]) -> None:
    mounts = {name: service["volumes"] for name, service in services.items()}
    assert mounts == {
        "redis": ["redis-data:/data"],
        "mongodb": ["mongodb-data:/data/db"],
        "app": [f"app-data:{CONTRACT['DataDir']}"],
    }
    assert set(compose["volumes"]) == {"redis-data", "mongodb-data", "app-data"}


def test_the_app_waits_for_healthy_stores(services: dict[str, Any]) -> None:
    assert services["app"]["depends_on"] == {
        "redis": {"condition": "service_healthy"},
        "mongodb": {"condition": "service_healthy"},
    }
    assert all(service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"} for service in services.values())


def test_a_stop_gives_the_app_both_its_timeouts(services: dict[str, Any]) -> None:
    given = int(services["app"]["stop_grace_period"].removesuffix("s"))
    assert given > int(CONTRACT["GracefulShutDownTimeout"]) + int(CONTRACT["ForceShutDownTimeout"])


class _Ready(BaseHTTPRequestHandler):
    status: ClassVar[int] = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(status: int) -> Iterator[int]:
    """The port of a server whose `/readyz` has that status."""
    handler = type("Answer", (_Ready,), {"status": status})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def health(services: dict[str, Any], port: int) -> int:
    kind, program, *arguments = services["app"]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    moved = [argument.replace(CONTRACT["HttpPort"], str(port)) for argument in arguments]
    return subprocess.run([sys.executable, *moved], check=False, capture_output=True, timeout=30).returncode


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (503, 1)])
def test_the_app_s_health_is_its_readiness(services: dict[str, Any], status: int, exit_code: int) -> None:
    with answering(status) as port:
        assert health(services, port) == exit_code


def test_an_app_that_does_not_answer_is_not_healthy(services: dict[str, Any]) -> None:
    with answering(200) as port:
        pass
    assert health(services, port) == 1


class Instruction(NamedTuple):
    name: str
    value: str


@pytest.fixture(scope="module")
def stages() -> list[list[Instruction]]:
    """The instructions of each stage, FROM first."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    found: list[list[Instruction]] = []
    for line in text.replace("\\\n", " ").splitlines():
        name, _, value = line.partition(" ")
        if name == "FROM":
            found.append([])
        if name:
            found[-1].append(Instruction(name, " ".join(value.split())))
    return found


def values(stage: list[Instruction], name: str) -> list[str]:
    return [instruction.value for instruction in stage if instruction.name == name]


def copied_from_here(stages: list[list[Instruction]]) -> list[str]:
    copies = [shlex.split(value) for stage in stages for value in values(stage, "COPY")]
    own = [words for words in copies if not any(word.startswith("--from=") for word in words)]
    return [word for words in own for word in words[:-1] if not word.startswith("--")]


def test_the_image_has_a_build_stage_and_a_slim_last_one(stages: list[list[Instruction]]) -> None:
    assert [values(stage, "FROM") for stage in stages] == [
        ["python:3.12-slim AS build"],
        ["python:3.12-slim"],
    ]
    assert "--from=build /opt/daybook /opt/daybook" in values(stages[-1], "COPY")
    assert not [value for value in values(stages[-1], "RUN") if "pip" in value]


def test_packages_are_installed_from_the_lock_and_the_package_alone(stages: list[list[Instruction]]) -> None:
    installs = [value.partition("pip install ")[2] for value in values(stages[0], "RUN") if "install" in value]
    assert installs == ["--require-hashes -r requirements/run.txt", "--no-deps --no-build-isolation ."]
    assert re.search(r"^hatchling==", (ROOT / "requirements/run.txt").read_text(), re.MULTILINE)


def test_the_service_does_not_run_as_root(stages: list[list[Instruction]]) -> None:
    last = stages[-1]
    assert values(last, "USER") == ["10001:10001"]
    after = [instruction.name for instruction in last[last.index(Instruction("USER", "10001:10001")) :]]
    assert not {"RUN", "COPY", "ADD"} & set(after)
    assert f"--owner=daybook --group=daybook {CONTRACT['DataDir']}" in values(last, "RUN")[0]


def test_the_container_runs_the_package_s_own_command(stages: list[list[Instruction]]) -> None:
    assert [json.loads(value) for value in values(stages[-1], "CMD")] == [["daybook", "serve"]]
    assert values(stages[-1], "STOPSIGNAL") == ["SIGTERM"]
    assert values(stages[-1], "EXPOSE") == [CONTRACT["HttpPort"]]
    assert 'daybook = "daybook.cli:main"' in (ROOT / "pyproject.toml").read_text()


def test_the_sample_is_where_the_settings_look_for_it(stages: list[list[Instruction]]) -> None:
    targets = [shlex.split(value)[-1] for value in values(stages[-1], "COPY")]
    assert CONTRACT["CsvFilePath"] in targets


def test_whatever_is_copied_exists_and_is_sent_to_the_builder(stages: list[list[Instruction]]) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert "*" in lines
    assert sorted(sent) == sorted(copied_from_here(stages))
    assert not [name for name in sent if not (ROOT / name).exists()]


def test_the_package_s_metadata_names_only_files_that_are_copied(stages: list[list[Instruction]]) -> None:
    assert {"pyproject.toml", "README.md", "LICENSE", "src"} <= set(copied_from_here(stages))


@pytest.mark.parametrize(
    "name",
    ["Dockerfile", "docker-compose.yml", ".dockerignore", "DockerGuide.md", ".github/workflows/ci.yml"],
)
def test_no_host_but_this_one_is_named(name: str) -> None:
    hosts = re.findall(r"\b(?:https?|redis|mongodb)://([^/:\s\"']+)", (ROOT / name).read_text())
    assert set(hosts) <= {"127.0.0.1", "mongodb"}


def test_the_guide_s_answer_is_the_sample_s() -> None:
    guide = (ROOT / "DockerGuide.md").read_text()
    shown = re.search(r"^\{\"data\":.*$", guide, re.MULTILINE)
    assert shown is not None
    sums: dict[str, dict[str, Decimal]] = {"deposits": {}, "withdrawals": {}}
    with (ROOT / "data/transactions_1_month.csv").open() as rows:
        for row in csv.DictReader(rows):
            if row["timestamp"].startswith("2026-01-01"):
                held, method = sums[f"{row['type']}s"], row["payment_method"]
                held[method] = held.get(method, Decimal(0)) + Decimal(row["amount"])
    assert json.loads(shown[0], parse_float=Decimal) == {"data": {"2026-01-01": sums}}
