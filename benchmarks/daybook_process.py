"""Runs Daybook as its users do: commands as processes, on fresh data directories."""

import csv
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks import oracle
from benchmarks.files import DataFile
from benchmarks.measure import BenchmarkError, Usage, Watch, children, end, together
from benchmarks.oracle import Key, Verdict

DAYBOOK = (sys.executable, "-m", "daybook")
_PASSED_ON = re.compile(r"PATH|HOME|LANG|LC_.*|TMPDIR|PYTHON.*")
_READY_SECONDS = 30.0
_LOG_TOLD = 2000
_IMPORT_SECONDS = 3600.0

Setting = str | int | float | Path


@contextmanager
def data_directory(folder: Path) -> Iterator[Path]:
    """Make a data directory. Remove it at the end and end its server."""
    path = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
    try:
        yield path / "data"
    finally:
        end_server(path / "data")
        shutil.rmtree(path)


def environment(**settings: Setting) -> dict[str, str]:
    """Return the settings, and the surrounding environment without anything that could be a setting."""
    kept = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    return kept | {name: str(value) for name, value in settings.items()}


class Imported(NamedTuple):
    seconds: float
    """Time of the work: from the command's first call until all is committed and dumped and the server has ended."""
    whole_seconds: float
    """Time from the start of the process to its end."""
    service: Usage
    valkey: Usage


def import_files(files: Sequence[Path], data_dir: Path, **settings: Setting) -> Imported:
    """Run `daybook import --replay-speed 0`. Raises BenchmarkError when it fails."""
    begun = time.perf_counter()
    command = (sys.executable, str(Path(__file__).parent / "programs" / "timed_import.py"), *map(str, files))
    with started(data_dir, command, **settings) as process:
        with Watch(lambda: _pids(process.pid, data_dir)) as watch:
            code = process.wait(_IMPORT_SECONDS)
            whole = time.perf_counter() - begun
        if code:
            raise BenchmarkError(f"daybook import ended with {code}: {_log(data_dir)}")
    seconds = float((data_dir.parent / "output").read_text().split()[-1])
    return Imported(seconds, whole, together(watch.usage, "service"), watch.usage.get("valkey", Usage()))


def check(data_dir: Path, file: DataFile) -> Verdict:
    """Compare amounts and numbers of transactions of `daybook stats` with the exact totals."""
    first, last = file.days
    with started(data_dir, (*DAYBOOK, "stats", "--from", first, "--to", last, "--format", "csv")) as process:
        if process.wait(_IMPORT_SECONDS):
            raise BenchmarkError(f"daybook stats failed: {_log(data_dir)}")
    amounts: dict[Key, str] = {}
    counts: dict[Key, int] = {}
    with (data_dir.parent / "output").open(newline="") as lines:
        for row in csv.DictReader(lines):
            key = row["date"], row["type"].removesuffix("s"), row["payment_method"]
            amounts[key], counts[key] = row["amount"], int(row["transactions"])
    verdict = oracle.judge(amounts.items(), file.totals)
    return verdict if not verdict.exact else oracle.judge_counts(counts, file.totals)


@contextmanager
def started(data_dir: Path, command: Sequence[str], **settings: Setting) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command on a data directory until the context ends. Its output goes to files beside the directory."""
    beside = data_dir.parent
    with (beside / "output").open("wb") as output, (beside / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
            cwd=beside,
            env=environment(DataDir=data_dir, **settings),
        )
        try:
            yield process
        finally:
            end(process)


@dataclass(frozen=True)
class Service:
    data_dir: Path
    pid: int
    port: int

    def get(self, path: str) -> bytes:
        """Return the answer of a path. Raises BenchmarkError for a bad answer, OSError for none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            raise BenchmarkError(f"{path}: {error!r}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise BenchmarkError(f"{path} answers {answer.status}")
        return content

    def imports(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.get("/v1/imports"))["imports"]
        return found

    def applied(self) -> int:
        """Return the number of applied rows of all sources."""
        return sum(int(source["applied"]) for source in self.imports())

    def wait_until_applied(self, rows: int, seconds: float = _IMPORT_SECONDS, look_seconds: float = 0.02) -> None:
        self.wait(lambda: self.applied() >= rows, f"{rows} rows are applied", seconds, look_seconds)

    def wait(self, holds: Callable[[], bool], what: str, seconds: float, look_seconds: float) -> None:
        """Check a condition until it holds. It does not hold while the service does not answer."""
        deadline = time.monotonic() + seconds
        while True:
            with suppress(OSError, BenchmarkError):
                if holds():
                    return
            if time.monotonic() > deadline or _is_gone(self.pid):
                raise BenchmarkError(f"not within {seconds:g} s: {what}: {_log(self.data_dir)}")
            time.sleep(look_seconds)

    @property
    def socket(self) -> str:
        """Return the socket of the embedded server."""
        return str(_server(self.data_dir)["socket"])


@contextmanager
def serving(data_dir: Path, **settings: Setting) -> Iterator[Service]:
    """Run `daybook serve` until the context ends; yield it when it is ready."""
    port = free_port()
    with started(data_dir, (*DAYBOOK, "serve"), HttpPort=port, ReplaySpeed=0, **settings) as process:
        service = Service(data_dir, process.pid, port)
        service.wait(lambda: bool(service.get("/readyz")), "the service is ready", _READY_SECONDS, 0.005)
        yield service


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_gone(pid: int) -> bool:
    """Return True when a child has ended, even if it was not waited for."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _pids(service: int, data_dir: Path) -> Mapping[str, int]:
    """Return process ids by name: the service, its children except the server, and the server."""
    server = _server(data_dir)
    valkey = int(server["pid"]) if server else None
    found = {"service": service} | {f"service {pid}": pid for pid in children(service) if pid != valkey}
    return found | ({"valkey": valkey} if valkey else {})


def _server(data_dir: Path) -> dict[str, Any]:
    """Return the record of the embedded server; empty when there is none."""
    with suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads((data_dir / "valkey" / "server.json").read_text())
        return found
    return {}


def end_server(data_dir: Path) -> None:
    """End the embedded server that a killed process left behind, and no other process."""
    server = _server(data_dir)
    if not server:
        return
    with suppress(psutil.Error):
        process = psutil.Process(int(server["pid"]))
        if str(data_dir.resolve() / "valkey") in process.cmdline():
            process.kill()


def _log(data_dir: Path) -> str:
    path = data_dir.parent / "log"
    return path.read_text(errors="replace")[-_LOG_TOLD:] if path.exists() else ""
