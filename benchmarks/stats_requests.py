"""`/stats` over 31 days, from Redis, from the archive and from both, beside a bare route."""

import json
import socket
import sys
import time
import urllib.request
from datetime import UTC, date, datetime
from pathlib import Path

from benchmarks.processes import DAYBOOK, run, serving
from daybook.sample import SampleSpec, write_sample

MONTH = "/stats?from_date=2026-01-01&to_date=2026-01-31"
MIDDLE = date(2026, 1, 16)
CONNECTIONS = 8
ROWS = 100_000


def measure_stats(folder: Path, seconds: float) -> list[str]:
    """Rows of the report."""
    file, answer = folder / "month.csv", folder / "answer.json"
    write_sample(SampleSpec(rows=ROWS), file)
    age = (datetime.now(UTC).date() - MIDDLE).days
    lines = [
        "## `/stats` over 31 days",
        "",
        f"{CONNECTIONS} keep-alive connections from one other process, {seconds:g} s each, asked for the same range;",
        "the bare route is FastAPI under uvicorn with the same bytes.",
        "",
        "| | requests/s | of the bare route | p50 ms | p99 ms |",
        "|---|---|---|---|---|",
    ]
    found = {
        name: _ask_daybook(folder / name, file, days, answer, seconds)
        for name, days in (("hot", 3_000_000), ("mixed", age), ("archived", 0))
    }
    port = _free_port()
    with serving((sys.executable, "-m", "benchmarks.peers.bare_route", str(port), str(answer))):
        bare = _load(port, seconds)
    for name, (rate, median, slowest) in {"bare route": bare, **found}.items():
        lines.append(f"| {name} | {rate:,.0f} | {rate / bare[0]:.2f} | {median:.2f} | {slowest:.2f} |")
    return [*lines, ""]


def _ask_daybook(
    data_dir: Path, file: Path, cut_off_days: int, answer: Path, seconds: float
) -> tuple[float, float, float]:
    port = _free_port()
    environment = {
        "DataDir": str(data_dir),
        "CsvFilePath": str(file),
        "ReplaySpeed": "0",
        "HttpPort": str(port),
        "CutOffDays": str(cut_off_days),
        "DumperTaskScheduleInterval": "1",
    }
    with serving((*DAYBOOK, "serve"), **environment):
        _wait_until_imported(port)
        time.sleep(4)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{MONTH}") as response:
            answer.write_bytes(response.read())
        return _load(port, seconds)


def _wait_until_imported(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/imports") as response:
                imports = json.load(response)["imports"]
            if imports and imports[0]["applied"] == ROWS:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit("the service did not import in a minute")


def _load(port: int, seconds: float) -> tuple[float, float, float]:
    """Requests a second, median and 99th percentile in milliseconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.05)
    command = (sys.executable, "-m", "benchmarks.load", str(port), MONTH, str(seconds), str(CONNECTIONS))
    number, spent, median, slowest = map(float, run(command).output.split())
    return number / spent, median, slowest


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
