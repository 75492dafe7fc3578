"""A Redis or Valkey for one test, with its own folder and socket, and the address of any server."""

import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit

import pytest
import redis

from daybook.embedded.server_binary import find_server_binary
from daybook.embedded.valkey_server import server_arguments
from daybook.stores.connection import RedisConnection

KINDS = ("valkey", "redis")
_START_SECONDS = 20.0
_PTRACE_DETACH, _PTRACE_SEIZE, _PTRACE_INTERRUPT = 17, 0x4206, 0x4207
_ALL_THREADS = 0x40000000


class Endpoint(NamedTuple):
    """The address of a server, and the database that a test may empty."""

    unix_socket: str | None = None
    host: str = ""
    port: int = 6379
    database: int = 0
    username: str | None = None
    password: str | None = None

    @classmethod
    def of(cls, url: str) -> "Endpoint":
        """Read `redis://[user:password@]host[:port]/database`. Fails the test when the database is missing or 0."""
        parts = urlsplit(url)
        database = parts.path.strip("/")
        if not database.isdigit() or database == "0":
            pytest.fail("DAYBOOK_TEST_REDIS_URL names no database of the tests' own, like redis://host:6379/9")
        return cls(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 6379,
            database=int(database),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
        )

    def connect(self, timeout_seconds: float = 5.0) -> RedisConnection:
        """Connect as Daybook does."""
        connection = RedisConnection.to(
            host=self.host,
            port=self.port,
            unix_socket=self.unix_socket,
            username=self.username,
            password=self.password,
            timeout_seconds=timeout_seconds,
        )
        connection.client.connection_pool.connection_kwargs["db"] = self.database
        return connection


class RedisServer:
    """A server with the options of the embedded server and further ones, which override them.

    A context manager that leaves no process and no socket behind.
    """

    def __init__(self, kind: str, folder: Path, *options: str) -> None:
        self._program = _program(kind)
        self._options = options
        self.folder = folder
        self._sockets = Path(tempfile.mkdtemp(prefix="daybook-test-"))
        self.socket = self._sockets / "server.sock"
        self.endpoint = Endpoint(unix_socket=str(self.socket))
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen: int | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def start(self) -> None:
        """Start the server and wait until it has loaded its data and answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, *server_arguments(self.folder, self.socket), *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        end = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                pytest.fail(f"the server did not start: {(self.folder / 'server.log').read_text()[-500:]}")
            time.sleep(0.005)

    def kill(self) -> None:
        """Kill the server, like a crash of the process: writes that it passed to the system stay."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        if self._frozen is not None:
            os.waitpid(self._frozen, _ALL_THREADS)
            self._frozen = None
        process.wait()
        self.socket.unlink(missing_ok=True)

    def is_running(self) -> bool:
        """Return False when the server was killed or ended by itself."""
        return self._process is not None and self._process.poll() is None

    def lose_power(self, on_disk: int) -> None:
        """Kill the server, like a loss of power: only the first `on_disk` bytes of the append-only file are left."""
        self.kill()
        os.truncate(self._log_file(), on_disk)

    def wipe(self) -> None:
        """Remove the data of a server that is not running."""
        assert self._process is None
        shutil.rmtree(self.folder)

    def log_bytes(self) -> int:
        """Return the length of the append-only file."""
        return self._log_file().stat().st_size

    def freeze_fsync(self) -> int:
        """Sync the append-only file, then stop the server's sync thread; return the bytes that are on disk.

        The server's other threads go on. Skips the test when a process may not trace its own children.
        """
        assert self._process is not None
        with self._client() as client:
            client.config_set("appendfsync", "always")
            client.set("synced", 1)
            client.config_set("appendfsync", "everysec")
            while client.info("persistence")["aof_pending_bio_fsync"]:
                time.sleep(0.005)
        tasks = Path(f"/proc/{self._process.pid}/task")
        if not tasks.is_dir():
            pytest.skip("no single thread can be stopped here: run on Linux with /proc")
        thread = next(int(task.name) for task in tasks.iterdir() if "aof" in (task / "comm").read_text())
        if _ptrace(_PTRACE_SEIZE, thread) != 0:
            pytest.skip("tracing own child processes is not allowed here: allow ptrace (yama/ptrace_scope, seccomp)")
        _ptrace(_PTRACE_INTERRUPT, thread)
        os.waitpid(thread, _ALL_THREADS)
        self._frozen = thread
        return self.log_bytes()

    def thaw_fsync(self) -> None:
        if self._frozen is not None:
            _ptrace(_PTRACE_DETACH, self._frozen)
            self._frozen = None

    def _answers(self) -> bool:
        try:
            with self._client() as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False

    def _client(self) -> "redis.Redis":
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=10)

    def _log_file(self) -> Path:
        files = (self.folder / "appendonlydir").glob("*.incr.aof")
        return max(files, key=lambda path: int(path.name.split(".")[2]))


def _program(kind: str) -> Path:
    if kind == "valkey":
        return find_server_binary()
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("no Redis: install redis-server 7.0 or newer on PATH")
    return Path(found)


def _ptrace(request: int, thread: int) -> int:
    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.argtypes, call.restype = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p], ctypes.c_long
    return int(call(request, thread, None, None))
