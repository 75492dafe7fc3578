"""The embedded server, real: found, started, taken over, ended, and one service per data directory."""

import asyncio
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from redis import Redis

from daybook.embedded import valkey_server
from daybook.embedded.data_dir import DataDirLock
from daybook.embedded.server_process import ServerProcess
from daybook.embedded.valkey_server import EmbeddedValkey, find_running
from daybook.errors import DaybookError

SERVICE = """
import asyncio, sys
from pathlib import Path
from daybook.embedded.data_dir import DataDirLock
from daybook.embedded.valkey_server import EmbeddedValkey

async def main():
    with DataDirLock(Path(sys.argv[1]), "daybook serve"):
        server = EmbeddedValkey(Path(sys.argv[1]))
        await server.start()
        print(server.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""
CARELESS_PARENT = """
import subprocess, time
print(subprocess.Popen(["sleep", "60"]).pid, flush=True)
time.sleep(60)
"""
STRANGER = """
import asyncio, os, sys
from pathlib import Path
import psutil
from daybook.embedded.server_process import ServerProcess
os.setuid(int(sys.argv[2]))
asyncio.run(ServerProcess(psutil.Process(int(sys.argv[1])), Path("none")).terminate())
"""
NOBODY = 65534
PR_SET_CHILD_SUBREAPER = 36
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="calls prctl: needs Linux")


@pytest.fixture
async def data_dir(tmp_path: Path) -> AsyncIterator[Path]:
    """A directory to be; whatever server a test leaves on it is ended."""
    folder = tmp_path / "data"
    yield folder
    for server in servers_of(folder):
        await server.terminate()


def servers_of(data_dir: Path) -> list[ServerProcess]:
    return valkey_server._find_servers(data_dir / "valkey")


def client(server: EmbeddedValkey) -> Redis:
    return Redis(unix_socket_path=str(server.socket), decode_responses=True)


def put(server: EmbeddedValkey, value: str) -> None:
    with client(server) as redis:
        redis.set("key", value)


def got(server: EmbeddedValkey) -> object:
    with client(server) as redis:
        return redis.get("key")


def process(*words: str | Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(words, stdout=subprocess.PIPE)


def first_line_of(started: "subprocess.Popen[bytes]") -> bytes:
    assert started.stdout is not None
    return bytes(started.stdout.readline())


@contextmanager
def killed_service(data_dir: Path) -> Iterator[int]:
    """The pid of the server that a service killed by SIGKILL has left behind."""
    with process(sys.executable, "-c", SERVICE, data_dir) as service:
        pid = int(first_line_of(service))
        service.kill()
    yield pid


@contextmanager
def adopting_orphans() -> Iterator[None]:
    """Children of our dead children become ours, as those of PID 1 in a container do."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0)


async def test_data_survive_a_restart(data_dir: Path) -> None:
    for value in (None, "1", "2"):
        async with EmbeddedValkey(data_dir) as server:
            assert got(server) == value
            put(server, str(int(value or 0) + 1))


async def test_an_empty_server_is_ready_at_once(data_dir: Path) -> None:
    before = time.perf_counter()
    async with EmbeddedValkey(data_dir):
        assert time.perf_counter() - before < 2


async def test_runs_as_promised(data_dir: Path) -> None:
    async with EmbeddedValkey(data_dir) as server:
        with client(server) as redis:
            assert redis.config_get("appendonly", "appendfsync", "maxmemory-policy", "save", "port") == {
                "appendonly": "yes",
                "appendfsync": "always",
                "maxmemory-policy": "noeviction",
                "save": "",
                "port": "0",
            }
        assert os.getsid(server.pid) == server.pid
        environment = psutil.Process(server.pid).environ()
        assert environment["MALLOC_MMAP_THRESHOLD_"] == "33554432"
        assert environment["MALLOC_TRIM_THRESHOLD_"] == "268435456"
        assert server.socket.parent.stat().st_mode & 0o077 == 0


async def test_stop_leaves_neither_process_nor_zombie_nor_socket(data_dir: Path) -> None:
    server = EmbeddedValkey(data_dir)
    await server.start()
    pid, socket = server.pid, server.socket
    assert find_running(data_dir) == socket
    await server.stop()
    assert not psutil.pid_exists(pid)
    assert not socket.exists()
    assert find_running(data_dir) is None
    await server.stop()


async def test_starting_twice_starts_one(data_dir: Path) -> None:
    async with EmbeddedValkey(data_dir) as server:
        pid = server.pid
        await server.start()
        assert [found.process.pid for found in servers_of(data_dir)] == [pid]


@pytest.mark.parametrize("recorded", [True, False])
async def test_a_left_over_server_is_taken_over(data_dir: Path, *, recorded: bool) -> None:
    with killed_service(data_dir) as pid, DataDirLock(data_dir, "daybook serve"):
        if not recorded:
            (data_dir / "valkey/server.json").unlink()
        async with EmbeddedValkey(data_dir) as server:
            assert (server.pid, server.taken_over) == (pid, True)
            assert [found.process.pid for found in servers_of(data_dir)] == [pid]
            assert find_running(data_dir) == server.socket
            put(server, "kept")
        assert servers_of(data_dir) == []
        async with EmbeddedValkey(data_dir) as server:
            assert (got(server), server.taken_over) == ("kept", False)


@linux_only
async def test_a_taken_over_server_that_is_our_child_by_adoption_leaves_no_zombie(data_dir: Path) -> None:
    with adopting_orphans(), killed_service(data_dir) as pid:
        async with EmbeddedValkey(data_dir) as server:
            assert server.pid == pid
            watching = asyncio.create_task(server.watch())
        assert await watching is None
        assert not psutil.pid_exists(pid)


async def test_a_left_over_server_that_does_not_answer_is_replaced(data_dir: Path) -> None:
    with killed_service(data_dir) as pid:
        os.kill(pid, signal.SIGSTOP)
        async with EmbeddedValkey(data_dir, answer_seconds=0.3) as server:
            assert server.pid != pid
            assert [found.process.pid for found in servers_of(data_dir)] == [server.pid]


async def test_a_left_over_server_that_ignores_sigterm_is_killed(data_dir: Path) -> None:
    words = valkey_server.server_arguments(data_dir / "valkey", data_dir / "valkey/server.sock")
    with process(sys.executable, "-c", STUBBORN, *words) as stubborn:
        first_line_of(stubborn)
        async with EmbeddedValkey(data_dir) as server:
            assert [found.process.pid for found in servers_of(data_dir)] == [server.pid]
            assert not psutil.pid_exists(stubborn.pid)


async def test_a_strange_process_that_has_the_recorded_pid_is_left_alone(data_dir: Path) -> None:
    async with EmbeddedValkey(data_dir) as server:
        record = (data_dir / "valkey/server.json").read_text().replace(str(server.pid), "{pid}", 1)
    with process("sleep", "60") as stranger:
        (data_dir / "valkey/server.json").write_text(record.replace("{pid}", str(stranger.pid)))
        assert find_running(data_dir) is None
        async with EmbeddedValkey(data_dir):
            assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize(
    "record", ['{"pid": %d, "started": "boot/7", "socket": "%s"}', '{"pid": -1, "socket": ""}', "{}", "no record"]
)
async def test_a_start_gets_along_with_any_record(data_dir: Path, record: str) -> None:
    """The first one is what an earlier version wrote; it still names the server."""
    with killed_service(data_dir) as pid:
        path = data_dir / "valkey/server.json"
        path.write_text(record % (pid, json.loads(path.read_text())["socket"]) if "%" in record else record)
        assert (find_running(data_dir) is not None) == ("started" in record)
        async with EmbeddedValkey(data_dir) as server:
            assert (server.pid, server.taken_over) == (pid, True)
            assert find_running(data_dir) == server.socket


async def test_a_process_that_nobody_has_waited_for_has_ended(data_dir: Path) -> None:
    with process(sys.executable, "-c", CARELESS_PARENT) as parent:
        child = ServerProcess(psutil.Process(int(first_line_of(parent))), data_dir)
        assert child.is_alive()
        await child.terminate()
        assert not child.is_alive()
        assert child.process.status() == psutil.STATUS_ZOMBIE
        parent.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="acts as another user: needs root")
def test_a_process_of_another_user_is_told_as_that() -> None:
    with process("sleep", "60") as ours:
        command = [sys.executable, "-c", STRANGER, str(ours.pid), str(NOBODY)]
        told = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False).stderr
        alive = ours.poll() is None
        ours.kill()
    assert told.endswith(f"DaybookError: the embedded server (pid {ours.pid}) of another user cannot be ended\n")
    assert alive


async def test_a_carriage_return_in_the_path_is_refused(data_dir: Path) -> None:
    with pytest.raises(DaybookError, match=r"^DataDir '.*data\\r' cannot be used: it holds a carriage return$"):
        await EmbeddedValkey(data_dir.with_name("data\r")).start()


async def test_a_server_that_is_killed_is_noticed_and_started_again_with_its_data(data_dir: Path) -> None:
    async with EmbeddedValkey(data_dir) as server:
        put(server, "kept")
        await asyncio.sleep(1.2)
        pid, socket = server.pid, server.socket
        os.kill(pid, signal.SIGKILL)
        assert await server.watch() == -signal.SIGKILL
        await server.start()
        assert server.pid != pid
        assert (got(server), server.socket) == ("kept", socket)


@pytest.mark.parametrize("extra", [0, 1, 200])
async def test_a_socket_lies_elsewhere_when_its_path_is_over_107_bytes(tmp_path: Path, extra: int) -> None:
    room = 107 - len(os.fsencode(tmp_path / "x/valkey/server.sock"))
    data_dir = tmp_path / ("x" * (1 + room)) / ("y" * extra)
    async with EmbeddedValkey(data_dir) as server:
        socket = server.socket
        assert (socket.parent == data_dir / "valkey") == (extra == 0)
        assert socket.parent.stat().st_mode & 0o777 == 0o700
        assert find_running(data_dir) == socket
        put(server, "deep")
        os.kill(server.pid, signal.SIGKILL)
        await server.watch()
        await server.start()
        assert server.socket == socket
    assert not socket.exists()
    assert socket.parent.exists() == (extra == 0)
