"""A MongoDB server for measurements: `mongod` from PATH, else SecantusDB, else none."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pymongo
from pymongo.errors import PyMongoError

from benchmarks.daybook_process import free_port
from benchmarks.measure import BenchmarkError, end

_START_SECONDS = 30.0


class MongoServer(NamedTuple):
    name: str
    uri: str


@contextmanager
def mongo_server(folder: Path) -> Iterator[MongoServer | None]:
    """Run a server with its data in an empty folder; yield None when no server is installed."""
    mongod, secantus = shutil.which("mongod"), Path(sys.executable).with_name("secantusd-py")
    port = free_port()
    if mongod is not None:
        name, command = "mongod", [mongod, "--bind_ip", "127.0.0.1", "--port", str(port), "--dbpath", str(folder)]
    elif secantus.exists():
        name = "SecantusDB"
        command = [str(secantus), "--standalone", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--storage-path", str(folder), "--cache-size", "256M", "--log-level", "WARNING"]
    else:
        yield None
        return
    server = MongoServer(name, f"mongodb://127.0.0.1:{port}/")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_it_answers(server, process)
        yield server
    finally:
        end(process, seconds=0)


def _wait_until_it_answers(server: MongoServer, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    with pymongo.MongoClient[dict[str, object]](server.uri, serverSelectionTimeoutMS=500) as client:
        while True:
            try:
                client.admin.command("ping")
            except PyMongoError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise BenchmarkError(f"{server.name} does not answer: {error}") from error
            else:
                return
