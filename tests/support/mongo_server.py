"""MongoDB servers for tests, each a process of its own, and a proxy that loses messages."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

import pymongo
import pytest
from pymongo.errors import PyMongoError

EXTERNAL_URI_VARIABLE = "DAYBOOK_TEST_MONGODB_URI"
START_SECONDS = 30


class MongoServer(NamedTuple):
    uri: str
    host: str
    port: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def secantus() -> Iterator[MongoServer]:
    """Run SecantusDB, the pure server of the wheel, on a free port and in a temporary folder."""
    program = Path(sys.executable).with_name("secantusd-py")
    with tempfile.TemporaryDirectory(prefix="daybook-secantus-") as folder:
        port = free_port()
        command = [
            str(program), "--standalone", "--host", "127.0.0.1", "--port", str(port),
            "--storage-path", folder, "--cache-size", "256M", "--log-level", "WARNING",
        ]  # fmt: skip
        with _running(command, port, Path(folder, "server.log")) as server:
            yield server


@contextmanager
def mongod() -> Iterator[MongoServer]:
    """Give a real server: the server that `DAYBOOK_TEST_MONGODB_URI` names, else `mongod` from PATH; else skip."""
    if uri := os.environ.get(EXTERNAL_URI_VARIABLE):
        host, port = pymongo.uri_parser.parse_uri(uri)["nodelist"][0]
        yield MongoServer(uri, host, port or 27017)
        return
    program = shutil.which("mongod")
    if program is None:
        pytest.skip(
            "no real MongoDB: install mongod (package mongodb-org-server) on PATH "
            f"or name a server in {EXTERNAL_URI_VARIABLE}"
        )
    with tempfile.TemporaryDirectory(prefix="daybook-mongod-") as folder:
        port = free_port()
        command = [program, "--bind_ip", "127.0.0.1", "--port", str(port), "--dbpath", folder]
        with _running(command, port, Path(folder, "server.log")) as server:
            yield server


@contextmanager
def _running(command: list[str], port: int, log_path: Path) -> Iterator[MongoServer]:
    server = MongoServer(f"mongodb://127.0.0.1:{port}/", "127.0.0.1", port)
    with log_path.open("wb") as log:
        process = _started(command, log)
        try:
            _wait_until_it_answers(server.uri, process, log_path)
            yield server
        finally:
            _stop(process)


def _started(command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _wait_until_it_answers(uri: str, process: subprocess.Popen[bytes], log_path: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with pymongo.MongoClient[dict[str, object]](uri, serverSelectionTimeoutMS=500) as client:
        while True:
            try:
                client.admin.command("ping")
            except PyMongoError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    log = log_path.read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{process.args!r} does not answer: {error}\n{log}") from error
            else:
                return


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Kill the server; its files are no longer needed."""
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()


class Fate(Enum):
    """The proxy's treatment of one command."""

    PASS = "pass"
    LOSE_REQUEST = "lose request"
    """The connection breaks before the server gets the command."""
    LOSE_REPLY = "lose reply"
    """The server executes the command, and the connection breaks before the reply reaches the client."""


Decide = Callable[[str], Awaitable[Fate]]
"""Takes the name of a command and returns its fate; the command waits for it. Monitoring commands always pass."""

_UNHEARD = frozenset({"hello", "ismaster", "isMaster", "ping", "endSessions"})
_HEADER_BYTES, _FIRST_NAME_AT = 16, 26


class MongoProxy:
    """A proxy in front of a server, as an async context manager. Clients connect to `uri`."""

    def __init__(self, server: MongoServer, decide: Decide) -> None:
        self._server = server
        self.decide = decide
        self._tasks: set[asyncio.Task[None]] = set()
        self.uri = ""
        self.message_bytes = 0
        """Length of the message whose fate is being decided."""
        self.answered: list[str] = []
        """Names of the commands that the server answered, even if the client no longer waits."""

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._listener.sockets[0].getsockname()[1]
        base, _, options = re.sub(
            r"^(mongodb://(?:[^@/]*@)?)[^/?]+", rf"\g<1>127.0.0.1:{port}", self._server.uri
        ).partition("?")
        self.uri = base.rstrip("/") + "/?" + "&".join(filter(None, [options, "directConnection=true"]))
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(asyncio.CancelledError):  # asyncio 3.11 logs a cancelled connection as an error
            server_reader, server_writer = await asyncio.open_connection(self._server.host, self._server.port)
            try:
                await _Connection(self, reader, writer, server_reader, server_writer).run()
            finally:
                server_writer.close()
        writer.close()
        self._tasks.discard(task)


class _Connection:
    def __init__(
        self,
        proxy: MongoProxy,
        client_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._client = client_reader, client_writer
        self._server = server_reader, server_writer
        self._command = ""
        self._lose_next_reply = False
        self._answered = asyncio.Event()

    async def run(self) -> None:
        pumps = [asyncio.create_task(self._requests()), asyncio.create_task(self._replies())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _requests(self) -> None:
        while message := await _message(self._client[0]):
            self._command = _command_name(message)
            if self._command in _UNHEARD:
                self._server[1].write(message)
                continue
            self._proxy.message_bytes = len(message)
            fate = await self._proxy.decide(self._command)
            if fate is Fate.LOSE_REQUEST:
                return
            self._lose_next_reply = fate is Fate.LOSE_REPLY
            self._answered.clear()
            self._server[1].write(message)
            await self._server[1].drain()
            await self._answered.wait()

    async def _replies(self) -> None:
        while message := await _message(self._server[0]):
            if self._command not in _UNHEARD:
                self._proxy.answered.append(self._command)
                self._answered.set()
            if self._lose_next_reply:
                return
            self._client[1].write(message)
            await self._client[1].drain()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Read one whole message; return an empty one at the connection's end."""
    try:
        header = await reader.readexactly(_HEADER_BYTES)
        return header + await reader.readexactly(int.from_bytes(header[:4], "little") - _HEADER_BYTES)
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def _command_name(message: bytes) -> str:
    """Return the name of the command in an OP_MSG. It follows the flags, the section's kind, the size and a type."""
    is_command = int.from_bytes(message[12:16], "little") == 2013
    return message[_FIRST_NAME_AT : message.index(0, _FIRST_NAME_AT)].decode() if is_command else "hello"
