"""The embedded server: a real Valkey (or Redis) under the data directory; at most one runs, whatever was killed.

A server outlives a service that is killed. The next start finds it by its command line, which names its folder and
never changes. It takes the server over, or ends it if it does not answer. `server.json` names the running server's
process for other commands; the command line of that process tells whether it still is that server.
"""

import asyncio
import json
import os
import re
import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen
from types import TracebackType
from typing import NamedTuple, Self

import psutil
import structlog

from daybook.embedded.data_dir import OWNER_ONLY, make_directory, unwritable
from daybook.embedded.server_binary import find_server_binary
from daybook.embedded.server_process import ServerProcess
from daybook.errors import ConfigurationError
from daybook.failpoints import hit

log = structlog.get_logger("embedded")

_FOLDER = "valkey"
_RECORD = "server.json"
_LOG = "server.log"
_SOCKET = "server.sock"
_SOCKET_FOLDER_PREFIX = "daybook-"
_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "268435456"}
_POLL_SECONDS = 0.005
_SILENCE_SECONDS = 60.0
_SHUTDOWN_SECONDS = 5.0
_LINES_TOLD = 4
_LOG_PREFIX = re.compile(r"^\d+:\w .{1,40}? [.*#-] ")


class EmbeddedValkey:
    """The server whose data are in `<data_dir>/valkey/`. The caller holds the directory's DataDirLock.

    The server listens only on a Unix socket, syncs its append-only file at every write, and evicts nothing. The
    terminal's Ctrl-C does not reach it. As a context manager this object starts and stops it.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        answer_seconds: float = 3.0,
        options: Sequence[str] = (),
        find_binary: Callable[[], Path] = find_server_binary,
    ) -> None:
        """Take `answer_seconds`, the longest time for an answer; `options` follow the server's other arguments."""
        self._folder = data_dir.resolve() / _FOLDER
        self._answer_seconds = answer_seconds
        self._options = options
        self._find_binary = find_binary
        self._server: ServerProcess | None = None
        self._socket: Path | None = None
        self.taken_over = False
        """True when the last start took over a server that an earlier service had left."""

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def socket(self) -> Path:
        """The socket on which it listens; a further start of this object keeps it, until `stop`."""
        return self._running.socket

    @property
    def pid(self) -> int:
        return self._running.process.pid

    @property
    def _running(self) -> ServerProcess:
        assert self._server is not None, "start() comes first"
        return self._server

    async def start(self) -> None:
        """Start the server; return when it answers and has loaded its data, however long that takes.

        Does nothing while a server runs; may be called again after it ended. Raises ConfigurationError when there is
        no server program or the folder cannot be written. Raises it with the server's last log lines when the server
        ends or does not answer for a minute. When it fails or is cancelled, no server is left.
        """
        if self._server is not None and self._server.is_alive():
            return
        if "\r" in str(self._folder):  # psutil tells it as a line feed: no left-over server would be found
            raise ConfigurationError(f"DataDir {str(self._folder.parent)!r} cannot be used: it holds a carriage return")
        make_directory(self._folder)
        left_over = await self._take_over()
        self.taken_over = left_over is not None
        log_size = _size(self._folder / _LOG)
        self._server = left_over or await self._spawn()
        hit("server.spawned")
        try:
            self._write_record()
            hit("server.recorded")
            await self._until_ready(log_size)
        except BaseException:
            await self._end(_SHUTDOWN_SECONDS)
            raise

    async def stop(self, shutdown_seconds: float = _SHUTDOWN_SECONDS) -> None:
        """End the server by SHUTDOWN, which syncs its data to disk; by signals when that takes `shutdown_seconds`.

        Does nothing when no server runs. If it is cancelled, call it again; else a later start takes the server over.
        """
        await self._end(shutdown_seconds)
        if self._socket is not None:
            _remove_socket(self._socket, self._folder)
            self._socket = None

    async def watch(self) -> int | None:
        """Wait until the server has ended, by `stop` or by itself, so that a supervisor can start it again.

        Returns its exit code, negative for a signal; None for a server that was taken over.
        """
        return await self._running.wait()

    async def _end(self, shutdown_seconds: float) -> None:
        if self._server is not None and self._server.is_alive():
            await self._server.shut_down(shutdown_seconds)
        self._server = None
        (self._folder / _RECORD).unlink(missing_ok=True)

    async def _take_over(self) -> ServerProcess | None:
        """Return the server of this folder that answers, None without one; end every other server of this folder."""
        kept = None
        for server in _find_servers(self._folder):
            answer = None if kept else await server.ask(self._answer_seconds)
            if answer and answer.pid == server.process.pid and answer.folder == self._folder:
                log.info("took over the server of an earlier run", pid=answer.pid)
                kept = server
            else:
                log.warning("ending a server of an earlier run that does not answer", pid=server.process.pid)
                await server.terminate()
        return kept

    async def _spawn(self) -> ServerProcess:
        binary = await asyncio.to_thread(self._find_binary)
        try:
            self._tidy()
            place = self._socket if self._socket and self._socket.parent.is_dir() else _choose_socket(self._folder)
            child = self._run(binary, place)
        except OSError as error:
            raise unwritable(self._folder, error) from error
        return ServerProcess(psutil.Process(child.pid), place, child)

    def _run(self, binary: Path, place: Path) -> "Popen[bytes]":
        (self._folder / _LOG).touch(mode=OWNER_ONLY)
        with (self._folder / _LOG).open("ab") as output:
            return Popen(  # noqa: S603 - a program that was looked up, no shell
                [binary, *server_arguments(self._folder, place), *self._options],
                stdin=DEVNULL,
                stdout=output,
                stderr=STDOUT,
                cwd=self._folder,
                env=os.environ | _ENVIRONMENT,
                start_new_session=True,
                umask=0o077,
            )

    def _tidy(self) -> None:
        """Remove what killed servers left: unfinished rewrites of the data, the folder of a socket."""
        for unfinished in self._folder.glob("temp-rewriteaof-*.aof"):
            unfinished.unlink(missing_ok=True)
        record = _read_record(self._folder)
        if record and record.socket != self._socket:
            _remove_socket(record.socket, self._folder)

    def _write_record(self) -> None:
        self._socket = self.socket
        record = {"pid": self.pid, "socket": os.fspath(self.socket)}
        draft = self._folder / f"{_RECORD}.new"
        try:
            draft.touch(mode=OWNER_ONLY)
            draft.write_text(json.dumps(record))
            draft.replace(self._folder / _RECORD)
        except OSError as error:
            raise unwritable(self._folder, error) from error

    async def _until_ready(self, log_size: int) -> None:
        server, loop = self._running, asyncio.get_running_loop()
        heard = loop.time()
        while server.is_alive():
            answer = await server.ask(self._answer_seconds) if server.socket.exists() else None
            if answer and not answer.loading:
                return
            if answer:
                heard = loop.time()
            if loop.time() - heard > _SILENCE_SECONDS:
                raise self._failure("does not answer", log_size)
            await asyncio.sleep(_POLL_SECONDS)
        raise self._failure(f"ended at once (exit code {server.exit_code})", log_size)

    def _failure(self, what: str, log_size: int) -> ConfigurationError:
        path = self._folder / _LOG
        return ConfigurationError(f"the embedded server {what}: {_last_words(path, log_size)} (log: {path})")


def find_running(data_dir: Path) -> Path | None:
    """Return the socket of the embedded server that runs on this data directory; None without one. For any process."""
    folder = data_dir.resolve() / _FOLDER
    record = _read_record(folder)
    server = _server_of(folder, record.pid) if record else None
    return server.socket if server else None


def server_arguments(folder: Path, place: Path) -> list[str]:
    """Return the words of the command line after the program. `_socket_named_in` knows a server by the first six."""
    return [
        *("--dir", str(folder), "--unixsocket", str(place), "--port", "0"),
        *("--unixsocketperm", "700", "--protected-mode", "yes"),
        *("--daemonize", "no", "--set-proc-title", "no"),
        *("--appendonly", "yes", "--appendfsync", "always", "--aof-load-truncated", "yes", "--save", ""),
        *("--maxmemory", "0", "--maxmemory-policy", "noeviction", "--logfile", str(folder / _LOG)),
    ]


def _find_servers(folder: Path) -> list[ServerProcess]:
    return [server for pid in psutil.pids() if (server := _server_of(folder, pid))]


def _server_of(folder: Path, pid: int) -> ServerProcess | None:
    """Return the server with that process id; None when it is no server of this folder or this user may not see it."""
    try:
        process = psutil.Process(pid)
        place = _socket_named_in(process.cmdline(), folder)
    except (psutil.Error, OSError, ValueError):  # ValueError: a record may name any number
        return None
    return ServerProcess(process, place) if place else None


def _socket_named_in(words: list[str], folder: Path) -> Path | None:
    """Return the socket that the command line of a server of this folder names; None for any other command line.

    A zombie has no command line.
    """
    start = words.index("--dir") if "--dir" in words else len(words)
    match words[start : start + 6]:
        case [_, directory, "--unixsocket", place, "--port", "0"] if directory == str(folder):
            return Path(place)
    return None


class _Record(NamedTuple):
    pid: int
    socket: Path


def _read_record(folder: Path) -> _Record | None:
    """Return the content of `server.json`; None when it cannot be read."""
    try:
        record = json.loads((folder / _RECORD).read_text())
        return _Record(int(record["pid"]), Path(record["socket"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _choose_socket(folder: Path) -> Path:
    """Return a path for the socket: in the folder if a socket can be bound there, else in a new private folder.

    A path of more than 107 bytes cannot be bound, and some file systems hold no sockets.
    """
    place = folder / _SOCKET
    place.unlink(missing_ok=True)
    if _can_bind(place):
        return place
    return Path(tempfile.mkdtemp(prefix=_SOCKET_FOLDER_PREFIX)) / _SOCKET


def _can_bind(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(os.fspath(place))
        except OSError:
            return False
    place.unlink()
    return True


def _remove_socket(place: Path, folder: Path) -> None:
    with suppress(OSError):
        place.unlink(missing_ok=True)
        if place.parent != folder and place.parent.name.startswith(_SOCKET_FOLDER_PREFIX):
            place.parent.rmdir()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _last_words(path: Path, offset: int) -> str:
    with path.open("rb") as file:
        file.seek(offset)
        text = file.read().decode(errors="replace")
    lines = [_LOG_PREFIX.sub("", line).strip() for line in text.splitlines()]
    return " / ".join([line for line in lines if line][-_LINES_TOLD:])
