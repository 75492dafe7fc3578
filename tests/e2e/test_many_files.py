"""Hundreds of files in one folder: exact, few of them open at once, next to nothing to do while they rest."""

import os
import socket
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import psutil
import pytest
import redis

from e2e.conftest import MakeService
from support.commands import Commands
from support.oracle import Data, merged, truth_of
from support.outside import OutsideRedis
from support.sample_file import generated
from support.service import Service, embedded_socket

FILES, ROWS = 300, 20
MOST_OPEN = 8
OTHER_DESCRIPTORS = 40
"""Of a service without files: stores, HTTP, the event loop, its logs."""
REST_SECONDS = 4.0
STOP_SECONDS = 5.0


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Name and content of each file."""
    folder = tmp_path_factory.mktemp("written")
    files = [generated(folder / f"{number:03}.csv", rows=ROWS, seed=number, days=5) for number in range(FILES)]
    return {file.name: file.read_bytes() for file in files}


@pytest.fixture
def folder(tmp_path: Path, written: dict[str, bytes]) -> Path:
    """A copy of the files that the test may change."""
    place = tmp_path / "files"
    place.mkdir()
    for name, content in written.items():
        (place / name).write_bytes(content)
    return place


def truth(folder: Path) -> Data:
    return merged(map(truth_of, sorted(folder.iterdir())))


def row(amount: str) -> bytes:
    return f"2026-01-05T10:30:00,deposit,paypal,{amount},0\n".encode()


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def wait_until_exact(service: Service, folder: Path, seconds: float = 60) -> None:
    expected = truth(folder)

    def exact() -> bool:
        answer = service.get("/stats", from_date="2026-01-01", to_date="2026-01-31")
        return answer.status_code == 200 and service.stats() == expected

    service.wait(exact, "the totals are exact", seconds)


def commands_of(client: "redis.Redis") -> dict[str, int]:
    """How often each command was called, those inside of scripts included."""
    found = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in found.items()}


def test_few_are_open_at_once_and_files_at_rest_ask_for_nothing(make_service: MakeService, folder: Path) -> None:
    service = make_service(CsvFilePath=folder, MaxOpenFiles=MOST_OPEN, DumperTaskScheduleInterval=1).start()
    process = psutil.Process(service.running.pid)
    socket_path = embedded_socket(service.data_dir)
    assert socket_path is not None
    with redis.Redis(unix_socket_path=socket_path) as client:
        most_descriptors, most_clients, done = 0, 0, False
        while not done:
            most_descriptors = max(most_descriptors, process.num_fds())
            most_clients = max(most_clients, len(client.client_list()))
            done = client.scard("daybook:sources") == FILES
            time.sleep(0.02)
        wait_until_exact(service, folder)
        assert len(service.imports()) == FILES
        assert most_clients <= MOST_OPEN + OTHER_DESCRIPTORS
        assert most_descriptors <= MOST_OPEN + MOST_OPEN + OTHER_DESCRIPTORS

        service.wait(lambda: not client.scard("daybook:changed_sources"), "the last dump is made")
        before = commands_of(client)
        time.sleep(REST_SECONDS)
        asked = {name: number - before.get(name, 0) for name, number in commands_of(client).items()}
        assert sum(asked.values()) < FILES, asked
        assert asked.get("hget", 0) + asked.get("hgetall", 0) < FILES / 2, asked
    begun = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - begun < STOP_SECONDS


def test_what_changes_is_noticed(make_service: MakeService, folder: Path, tmp_path: Path) -> None:
    service = make_service(CsvFilePath=folder, MaxOpenFiles=MOST_OPEN).start()
    wait_until_exact(service, folder)
    append(folder / "000.csv", row("1.25"))
    append(folder / "299.csv", row("2.50"))
    generated(folder / "new.csv", rows=ROWS, seed=FILES + 1, days=5)
    other = generated(tmp_path / "other.csv", rows=ROWS, seed=FILES + 2, days=5)
    (folder / "001.csv").rename(folder / "001-rotated.csv")
    append(folder / "001-rotated.csv", row("4.75"))
    other.replace(folder / "001.csv")
    wait_until_exact(service, folder)
    assert len(service.imports()) == FILES + 2
    assert service.get("/v1/imports").json()["problems"] == {}


def test_a_kill_in_the_middle_changes_no_total(make_service: MakeService, folder: Path) -> None:
    service = make_service(CsvFilePath=folder, MaxOpenFiles=MOST_OPEN).start()
    for sources in range(FILES // 4, FILES, FILES // 4):
        while len(service.imports()) < sources:
            time.sleep(0.01)
        service.kill()
        service.start()
    wait_until_exact(service, folder)
    assert len(service.imports()) == FILES


def test_a_redis_that_is_wiped_while_files_rest_has_them_read_again(
    make_service: MakeService, folder: Path, tmp_path: Path
) -> None:
    with OutsideRedis(tmp_path / "redis").start() as server:
        service = make_service(CsvFilePath=folder, DumperTaskScheduleInterval=3600, **server.settings).start()
        wait_until_exact(service, folder)
        server.client().flushall()
        wait_until_exact(service, folder, seconds=30)


def test_the_command_imports_them_all(daybook: Commands, folder: Path) -> None:
    found = daybook.run("import", *sorted(folder.iterdir()))
    assert found.output.count(f"imported: {ROWS} rows = {ROWS} applied") == FILES
    assert daybook.stats() == truth(folder)
    assert daybook.run("import", folder).output.count("already imported") == FILES


def make_fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def make_socket(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    return path


def device(_: Path) -> Path:
    return Path("/dev/zero")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (make_fifo, "a named pipe (FIFO)"),
        (make_socket, "a socket"),
        (device, "a character device"),
    ],
)
def test_what_is_no_regular_file_is_refused(
    make_service: MakeService, daybook: Commands, tmp_path: Path, make: Callable[[Path], Path], kind: str
) -> None:
    path = make(tmp_path / "no.csv")
    line = f"{path}: is {kind}, not a regular file"
    service = make_service(CsvFilePath=path).start()
    service.wait(lambda: service.get("/v1/imports").json()["problems"] == {str(path): line}, "it is told")
    time.sleep(1.2)
    assert service.log.count(line) == 1
    assert daybook.run("import", path, code=1).output == f"{line}\n"


def test_a_pause_that_is_cut_is_told_once(make_service: MakeService, tmp_path: Path) -> None:
    path = tmp_path / "slow.csv"
    pauses = f"2026-01-05T10:30:00,deposit,paypal,1.00,{10**20}\n".encode()
    path.write_bytes(b"timestamp,type,payment_method,amount,sleep_ms\n" + 3 * pauses)
    service = make_service(CsvFilePath=path, ReplaySpeed=36_000).start()
    service.wait_until_imported(path, 3)
    assert service.log.count("is longer than an hour") == 1
    assert service.stats()["2026-01-05"]["deposits"]["paypal"] == Decimal(3)
