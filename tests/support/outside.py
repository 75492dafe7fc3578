"""Redis and MongoDB outside the service. They stop and start again on the same port with the same data."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymongo
import pytest
import redis
from pymongo.errors import PyMongoError

from support.mongo_server import free_port
from support.service import Setting, until, wait_for_end


class OutsideServer:
    """One server on one folder and port. It runs from `start` until the context ends."""

    def __init__(self, folder: Path, command: Callable[[Path, int], list[str]]) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self, *options: str) -> Self:
        """Start the server and wait until it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command(self.folder, self.port), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        until(self._answers, f"{self._process.args!r} answers")
        return self

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def send(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)

    def _end(self, number: int) -> None:
        self.send(number)
        if self._process is not None:
            wait_for_end(self._process)

    def _answers(self) -> bool:
        raise NotImplementedError


class OutsideRedis(OutsideServer):
    """The `redis-server` on PATH, with an append-only file."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("no Redis: install redis-server 7.0 or newer on PATH")
        super().__init__(
            folder,
            lambda folder, port: [
                *(program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)),
                *("--save", "", "--appendonly", "yes", "--appendfsync", "everysec"),
            ],
        )
        self.settings: dict[str, Setting] = {"RedisHost": "127.0.0.1", "RedisPort": self.port}

    def client(self) -> "redis.Redis":
        return redis.Redis(host="127.0.0.1", port=self.port, decode_responses=True, socket_timeout=10)

    def _answers(self) -> bool:
        refusals = (redis.exceptions.ConnectionError, redis.exceptions.BusyLoadingError)
        with suppress(*refusals), self.client() as client:
            return bool(client.ping())
        return False


class OutsideMongo(OutsideServer):
    """SecantusDB, or the `mongod` on PATH."""

    def __init__(self, folder: Path, kind: str = "secantus") -> None:
        super().__init__(folder, _mongod_command if kind == "mongod" else _secantus_command)
        self.uri = f"mongodb://127.0.0.1:{self.port}/"
        self.settings: dict[str, Setting] = {"MongoDbUri": self.uri}

    def client(self) -> "pymongo.MongoClient[dict[str, Any]]":
        return pymongo.MongoClient(self.uri, serverSelectionTimeoutMS=500)

    def _answers(self) -> bool:
        with suppress(PyMongoError), self.client() as client:
            return bool(client.admin.command("ping"))
        return False


def _secantus_command(folder: Path, port: int) -> list[str]:
    return [
        *(str(Path(sys.executable).with_name("secantusd-py")), "--standalone"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--storage-path", str(folder), "--cache-size", "256M", "--log-level", "WARNING"),
    ]


def _mongod_command(folder: Path, port: int) -> list[str]:
    program = shutil.which("mongod")
    if program is None:
        pytest.skip("no real MongoDB: install mongod (package mongodb-org-server) on PATH")
    return [program, "--bind_ip", "127.0.0.1", "--port", str(port), "--dbpath", str(folder)]
