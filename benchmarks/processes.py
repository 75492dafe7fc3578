"""Runs programs and says what they took."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

DAYBOOK = (sys.executable, "-m", "daybook")


class Run(NamedTuple):
    seconds: float
    """From the start of the process to its end."""
    peak_mb: float
    output: str
    server_peak_mb: float = 0.0
    """Of the embedded Valkey server, for Daybook."""


def run(command: tuple[str, ...], data_dir: Path | None = None, **environment: str) -> Run:
    """Run a program to its end; raises if it fails."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **environment}
    )
    peaks = [0.0]
    watching = threading.Thread(target=_watch_server, args=(process, data_dir, peaks), daemon=True)
    watching.start()
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begun
    watching.join()
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return Run(seconds, usage.ru_maxrss / 1024, output, peaks[0])


def _watch_server(process: "subprocess.Popen[str]", data_dir: Path | None, peaks: list[float]) -> None:
    while data_dir is not None and process.returncode is None:
        try:
            pid = json.loads((data_dir / "valkey" / "server.json").read_text())["pid"]
            peaks[0] = max(peaks[0], peak_mb(pid))
        except (OSError, ValueError, KeyError):
            pass
        time.sleep(0.05)


def peak_mb(pid: int) -> float:
    """The largest resident size that a process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def serving(command: tuple[str, ...], **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, **environment})
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
