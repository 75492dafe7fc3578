"""Starts, stops and refusals of the service: signals, exit codes, one DataDir, one port, bad settings."""

import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from e2e.conftest import MakeService
from support.oracle import truth_of
from support.outside import OutsideRedis
from support.sample_file import generated
from support.service import Service, Setting, embedded_server, embedded_servers

GRACEFUL, FORCE = 3, 2
TIMEOUTS: dict[str, Setting] = {"GracefulShutDownTimeout": GRACEFUL, "ForceShutDownTimeout": FORCE}
HELD_UP = 1.0
"""Seconds that a busy machine may take to notice the end of a process."""

ROWS = 20_000
PUSHED = 20_000
ANSWERS_THAT_FIT_NO_BUFFER = 3000
ELEMENT = json.dumps({"Timestamp": "2026-02-03T10:30:00", "Type": "deposit", "PaymentMethod": "paypal", "Amount": 0.07})


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[OutsideRedis]:
    with OutsideRedis(tmp_path / "redis") as server:
        yield server.start()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    assert took < seconds + HELD_UP, f"took {took:.2f} s"


def test_sigterm_under_load_keeps_the_queue(
    make_service: MakeService, redis_server: OutsideRedis, tmp_path: Path
) -> None:
    file = generated(tmp_path / "month.csv", rows=ROWS, seconds=20)
    service = make_service(CsvFilePath=file, ReplaySpeed=1, **TIMEOUTS, **redis_server.settings).start()
    service.wait(lambda: (service.import_of(file) or {"rows": 0})["rows"], "the import is under way")
    with redis_server.client() as client:
        service.send(signal.SIGSTOP)  # else it may have applied all before the stop
        for _ in range(4):
            client.lpush("TransactionQueue", *([ELEMENT] * (PUSHED // 4)))
        service.send(signal.SIGTERM)
        service.send(signal.SIGCONT)
        with within(GRACEFUL + FORCE):
            assert service.ended() == 0
        left = client.llen("TransactionQueue")
        assert left > 0, "the stop must come while there is work"
    service.start(ReplaySpeed=0)
    service.wait_until_imported(file, ROWS)
    pushed = service.wait_until_imported("", PUSHED)
    assert (pushed["applied"], pushed["rejected"]) == (PUSHED, 0)
    assert service.stats("2026-02-03", "2026-02-03")["2026-02-03"]["deposits"] == {"paypal": Decimal("0.07") * PUSHED}
    assert service.stats() == truth_of(file).data


def test_sigterm_while_clients_hold_connections_open(make_service: MakeService) -> None:
    service = make_service(**TIMEOUTS).start()
    assert service.address is not None
    host, port = service.address.removeprefix("http://").split(":")
    with ExitStack() as stack:
        silent, begun, posting, idle, deaf = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=10)) for _ in range(5)
        ]
        begun.sendall(b"GET /stats?from_date=2026-01-01 HTTP/1.1\r\nHost: here\r\nX-Half: ")
        posting.sendall(b"POST /stats HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\nhalf")
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: here\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 200")
        deaf.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: here\r\n\r\n" * ANSWERS_THAT_FIT_NO_BUFFER)
        assert deaf.recv(4096, socket.MSG_PEEK).startswith(b"HTTP/1.1 200")
        assert silent.fileno() > 0
        with within(GRACEFUL + FORCE):
            assert service.stop() == 0
    assert embedded_servers(service.data_dir) == []


def test_sigterm_while_redis_is_away(make_service: MakeService, redis_server: OutsideRedis) -> None:
    redis_server.stop()
    service = make_service(**TIMEOUTS, **redis_server.settings).launch().wait_until_answering()
    service.wait_for_log("waiting for Redis")
    with within(GRACEFUL):
        assert service.stop() == 0


def test_sigterm_while_redis_is_frozen(make_service: MakeService, redis_server: OutsideRedis) -> None:
    """Nothing that hangs outlives both timeouts, and nothing is written by force."""
    service = make_service(GracefulShutDownTimeout=1, ForceShutDownTimeout=1, **redis_server.settings).start()
    redis_server.send(signal.SIGSTOP)
    try:
        with within(1 + 1):
            assert service.stop() in {0, 3}
    finally:
        redis_server.send(signal.SIGCONT)
    assert "Traceback" not in service.log


def test_a_stop_that_hangs_is_forced_and_loses_nothing(make_service: MakeService, tmp_path: Path) -> None:
    """Another program holds the archive's file: the last dump cannot be written in time."""
    file = generated(tmp_path / "month.csv", rows=5000)
    service = make_service(GracefulShutDownTimeout=1, ForceShutDownTimeout=1, CsvFilePath=file).start()
    service.wait_until_imported(file, 5000)
    with closing(sqlite3.connect(service.data_dir / "archive.sqlite")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with within(1 + 1):
            assert service.stop() == 3
    assert service.log.splitlines()[-1].endswith("after the stop signal: ended by force")
    service.start()
    service.wait_for_log("already imported")
    assert service.stats() == truth_of(file).data


def test_a_stop_signal_during_a_slow_start_is_in_time(make_service: MakeService) -> None:
    """The left-over server does not answer, which the start waits out; the time is counted from the signal on."""
    service = make_service(GracefulShutDownTimeout=1, ForceShutDownTimeout=1).start()
    server = embedded_server(service.data_dir)
    assert server is not None
    service.kill()
    os.kill(server, signal.SIGSTOP)
    service.launch()
    lock = service.data_dir / "daybook.lock"
    holder = f"{service.running.pid} daybook serve\n"
    service.wait(lambda: lock.read_text() == holder, "the start is under way")
    with within(1 + 1):
        assert service.stop() == 3
    assert "Daybook is running" not in service.log
    assert service.log.splitlines()[-1].endswith("after the stop signal: ended by force")
    os.kill(server, signal.SIGKILL)
    assert service.start().stop() == 0


def test_sigint_ends_it_as_sigterm_does(make_service: MakeService) -> None:
    service = make_service().start()
    assert service.stop(signal.SIGINT) == 0
    assert embedded_servers(service.data_dir) == []
    assert "Traceback" not in service.log


def test_a_second_service_on_one_data_dir_is_refused(make_service: MakeService) -> None:
    first = make_service().start()
    second = make_service(DataDir=first.data_dir).launch()
    assert second.ended() == 1
    assert second.log == (
        f"daybook: DataDir {first.data_dir} is in use by daybook serve (pid {first.running.pid}):"
        f" stop it or choose another DataDir\n"
    )
    assert first.get("/readyz").status_code == 200
    assert embedded_servers(first.data_dir) == [embedded_server(first.data_dir)]


def test_a_port_in_use_is_one_line(make_service: MakeService) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        service = make_service(HttpPort=port).launch()
        assert service.ended() == 1
    assert service.log == f"daybook: HttpHost='127.0.0.1', HttpPort={port}: Address already in use\n"
    assert embedded_servers(service.data_dir) == []


@pytest.mark.parametrize(("host", "is_open"), [("0.0.0.0", True), ("127.0.0.1", False), ("::1", False)])
def test_an_address_that_others_reach_is_warned_of(make_service: MakeService, host: str, *, is_open: bool) -> None:
    service = make_service(HttpHost=host).launch()
    service.wait(lambda: service.address, "the service listens")
    port = str(service.address).rpartition(":")[2]
    warned = [line for line in service.log.splitlines() if f"HttpHost={host}: whoever reaches port {port}" in line]
    assert len(warned) == is_open
    assert all("[warning" in line and "proxy" in line for line in warned)


def test_the_server_that_a_killed_service_leaves_is_taken_over(make_service: MakeService) -> None:
    service = make_service().start()
    left = embedded_server(service.data_dir)
    for _ in range(2):
        service.kill()
        assert embedded_servers(service.data_dir) == [left]
        service.start()
        assert embedded_servers(service.data_dir) == [embedded_server(service.data_dir)] == [left]
    assert service.stop() == 0
    assert embedded_servers(service.data_dir) == []


def test_a_second_start_is_ready_soon(tmp_path: Path) -> None:
    """Two seconds on a quiet machine (`make bench` measures it); other tests run beside this one."""
    file = generated(tmp_path / "month.csv", rows=5000)
    with Service(tmp_path, None, CsvFilePath=file) as service:
        service.start().wait_until_imported(file, 5000)
        best = float("inf")
        for _ in range(4):
            assert service.stop() == 0
            begun = time.monotonic()
            service.start()
            best = min(best, time.monotonic() - begun)
            if best < 5:
                break
        assert best < 5
        service.wait_for_log("already imported")
        assert service.stats() == truth_of(file).data


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("HttpPort", "eighty", "valid integer"),
        ("REDIS_PORT", "65536", "less than or equal to 65535"),
        ("TransactionCheckTimeout", "0", "greater than 0"),
    ],
)
def test_a_bad_setting_is_one_line(make_service: MakeService, name: str, value: str, allowed: str) -> None:
    service = make_service(**{name: value}).launch()
    assert service.ended() == 1
    (line,) = service.log.splitlines()
    assert line.startswith(f"daybook: {name}={value!r}: ")
    assert allowed in line
    assert not service.data_dir.exists()


def test_a_bad_setting_in_the_env_file_is_one_line(make_service: MakeService) -> None:
    service = make_service()
    (service.folder / ".env").write_text("CutOffDays=soon\n")
    assert service.launch().ended() == 1
    (line,) = service.log.splitlines()
    assert line.startswith("daybook: CutOffDays='soon': ")


def test_a_bad_mongodb_address_is_one_line_without_its_password(make_service: MakeService) -> None:
    service = make_service(MongoDbUri="mongodb://user:s3cr3t:word@127.0.0.1/").launch()
    assert service.ended() == 1
    (line,) = [line for line in service.log.splitlines() if "daybook: " in line]
    assert "MongoDbUri" in line
    assert "s3cr3t" not in service.log
    assert "Traceback" not in service.log


def test_a_data_dir_that_cannot_be_is_one_line(make_service: MakeService, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    service = make_service(DataDir=tmp_path / "file").launch()
    assert service.ended() == 1
    assert service.log == f"daybook: DataDir {tmp_path / 'file'} cannot be used: there is a file of that name\n"
