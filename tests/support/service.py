"""The real service as a process: start, ask, stop and kill it. It leaves no process behind."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

import httpx
import psutil

from support.oracle import Data
from support.spawner import Spawner

READY_SECONDS = 30.0
END_SECONDS = 30.0
_POLL_SECONDS = 0.01
_PASSED_ON = re.compile(r"PATH|HOME|LANG|LC_.*|TMPDIR|PYTHON.*|COVERAGE.*")

Setting = str | int | float | Path


class Process(Protocol):
    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...


def environment(settings: Mapping[str, Setting]) -> dict[str, str]:
    """Return the settings, and the surrounding environment without anything that could be a setting."""
    kept = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    return kept | {name: str(value) for name, value in settings.items()}


def until(condition: Callable[[], object], what: str, seconds: float = READY_SECONDS) -> None:
    """Check a condition until it holds. Fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(_POLL_SECONDS)


def wait_for_end(process: Process, seconds: float = END_SECONDS) -> int:
    """Wait until a process ends; return its exit code, negative for a signal."""
    until(lambda: process.poll() is not None, f"end of process {process.pid}", seconds)
    code = process.poll()
    assert code is not None
    return code


class Service:
    """`python -m daybook serve` on one DataDir, one life after the other. A life lasts from start to end of a process.

    As a context manager it kills the processes that still run at the end, the embedded server included. Without a
    spawner each life is a fresh interpreter.
    """

    program = "daybook"
    """The module that is run."""

    def __init__(self, folder: Path, spawner: Spawner | None, **settings: Setting) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.settings: dict[str, Setting] = {"DataDir": self.data_dir, "HttpPort": 0, "ReplaySpeed": 0}
        self.settings |= settings
        self._spawner = spawner
        self._process: Process | None = None
        self._lives = 0
        self._client = httpx.Client(timeout=20, trust_env=False, verify=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.kill()
            if error is not None:
                sys.stderr.write(self.logs)
        finally:
            self._client.close()
            end_left_over(self.data_dir)

    @property
    def log_path(self) -> Path:
        """The file with the standard error of the present life, or of the last one."""
        return self.folder / f"serve-{self._lives}.log"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def logs(self) -> str:
        """The logs of all lives."""
        return "".join(
            f"--- life {number}\n{(self.folder / f'serve-{number}.log').read_text(errors='replace')}"
            for number in range(1, self._lives + 1)
        )

    @property
    def running(self) -> Process:
        assert self._process is not None, "not started"
        return self._process

    def launch(self, **settings: Setting) -> Self:
        """Start another life with changed settings, and return at once."""
        assert self._process is None or self._process.poll() is not None, "it runs already"
        self.settings |= settings
        self._lives += 1
        words = environment(self.settings)
        if self._spawner is not None:
            self._process = self._spawner.start(
                self.program,
                "serve",
                environment=words,
                folder=self.folder,
                output=self.folder / "output",
                log=self.log_path,
            )
        else:
            with self.log_path.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", self.program, "serve"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.folder,
                    env=words,
                )
        return self

    def start(self, **settings: Setting) -> Self:
        """Start another life with changed settings, and return when it is ready."""
        return self.launch(**settings).wait_until_ready()

    def wait_until_answering(self, seconds: float = READY_SECONDS) -> Self:
        self.wait(lambda: self._answers("/livez"), "the service answers", seconds)
        return self

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> Self:
        self.wait(lambda: self._answers("/readyz"), "the service is ready", seconds)
        return self

    def _answers(self, path: str) -> bool:
        with suppress(httpx.TransportError):
            return self.address is not None and self.get(path).status_code == 200
        return False

    def wait(self, condition: Callable[[], object], what: str, seconds: float = READY_SECONDS) -> None:
        """Check a condition until it holds. Fails at once when the service has ended."""

        def holds() -> bool:
            code = self.running.poll()
            assert code is None, f"the service ended with {code} before: {what}\n{self.log}"
            return bool(condition())

        until(holds, what, seconds)

    @property
    def address(self) -> str | None:
        """The address that the log says the service listens on; None before."""
        if not self.log_path.exists():
            return None
        told = re.search(r"address=(http://\S+)\n", self.log)
        return told[1] if told else None

    def get(self, path: str, **parameters: str) -> httpx.Response:
        return self._client.get(f"{self.address}{path}", params=parameters or None)

    def post(self, path: str, content: object, **headers: str) -> httpx.Response:
        return self._client.post(f"{self.address}{path}", json=content, headers=headers)

    def stats(self, first: str = "2026-01-01", last: str = "2026-01-31") -> Data:
        return stats_data(self.get("/stats", from_date=first, to_date=last))

    def imports(self) -> list[dict[str, Any]]:
        answer = self.get("/v1/imports")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = json.loads(answer.text, parse_float=Decimal)["imports"]
        return found

    def import_of(self, path: Path | str) -> dict[str, Any] | None:
        """Return the latest source of a path."""
        return next((each for each in reversed(self.imports()) if each["path"] == str(path)), None)

    def wait_until_imported(self, path: Path | str, rows: int, seconds: float = 20) -> dict[str, Any]:
        """Wait until `rows` rows of the path's source are read and none waits; return the source."""
        found: dict[str, Any] | None = None

        def done() -> bool:
            nonlocal found
            with suppress(httpx.TransportError, AssertionError):
                found = self.import_of(path)
            return found is not None and found["rows"] == rows and found["waiting"] == 0

        try:
            self.wait(done, f"{rows} rows of {path} are applied", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {found}") from None
        assert found is not None
        return found

    def wait_for_log(self, words: str, seconds: float = READY_SECONDS) -> str:
        """Wait for words in this life's log; return the first line that holds them."""
        self.wait(lambda: words in self.log, f"the log says {words!r}", seconds)
        return next(line for line in self.log.splitlines() if words in line)

    def send(self, number: int) -> None:
        if self.running.poll() is None:
            os.kill(self.running.pid, number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit code."""
        self.send(number)
        return self.ended()

    def ended(self) -> int:
        """Wait until the service ends; return its exit code."""
        return wait_for_end(self.running)

    def kill(self) -> None:
        """Kill the service with SIGKILL. The embedded server stays, as after any crash."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
            wait_for_end(self._process)


def stats_data(answer: httpx.Response) -> Data:
    assert answer.status_code == 200, answer.text
    data: Data = json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)["data"]
    return data


class ArchivedReject(NamedTuple):
    source: str
    line: int
    raw: str
    reason: str


def archived_rejects(data_dir: Path) -> list[ArchivedReject]:
    """Return the rejects in the SQLite archive, in order of source and line."""
    with closing(sqlite3.connect(data_dir / "archive.sqlite")) as connection:
        found = connection.execute("SELECT Source, Line, Raw, Reason FROM Rejects ORDER BY Source, Line")
        return [ArchivedReject(*reject) for reject in found]


def archived_cells(data_dir: Path) -> dict[tuple[str, str, str], tuple[str, int]]:
    """Return the cells in the SQLite archive: day, type and method → amount as text, and number of rows."""
    with closing(sqlite3.connect(data_dir / "archive.sqlite")) as connection:
        found = connection.execute("SELECT Date, Type, TotalAmount, TransactionCount FROM DailyAggregates")
        return {
            (day, kind, method): (total, json.loads(counts)[method])
            for day, kind, totals, counts in found
            for method, total in json.loads(totals).items()
        }


def embedded_server(data_dir: Path) -> int | None:
    """Return the process id in `server.json`."""
    record = _server_record(data_dir)
    return int(record["pid"]) if record else None


def embedded_socket(data_dir: Path) -> str | None:
    """Return the socket in `server.json`."""
    record = _server_record(data_dir)
    return str(record["socket"]) if record else None


def _server_record(data_dir: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads((data_dir / "valkey" / "server.json").read_text())
        return found
    return {}


def embedded_servers(data_dir: Path) -> list[int]:
    """Return the process ids of all servers on a DataDir, which their command lines name."""
    folder = str(data_dir.resolve() / "valkey")
    return [process.pid for process in psutil.process_iter() if folder in _command_line(process)]


def end_left_over(data_dir: Path) -> None:
    """End the servers that a killed service left behind, and no other process."""
    left = embedded_servers(data_dir)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not embedded_servers(data_dir), f"end of servers {left}")


def _command_line(process: psutil.Process) -> list[str]:
    """Return the command line; empty for a process that has ended, even a zombie."""
    try:
        return process.cmdline()
    except (psutil.Error, OSError):
        return []
