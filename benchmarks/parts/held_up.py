"""Measures the longest script of an import on the server, and its longest call on the event loop."""

import hashlib
import json
import sys
from importlib.resources import files

from redis import Redis

from benchmarks import daybook_process as daybook
from benchmarks.files import DataFile
from benchmarks.measure import BenchmarkError, Spread, run_program
from benchmarks.plan import Plan
from benchmarks.results import Results
from daybook.stores.connection import SCRIPTS

_SLOW_MICROSECONDS = 500
_LONGEST_LOG = 100_000


def run(plan: Plan, results: Results) -> None:
    file = plan.files.month(plan.rows)
    held, called = [], []
    for number in range(plan.rounds):
        milliseconds, script = _longest_script(plan, file)
        held.append((milliseconds, script))
        called.append(_longest_call(plan, file))
        plan.say(
            f"  round {number + 1}/{plan.rounds}  script {script} {milliseconds:.1f} ms,"
            f" event loop {called[-1]['longest_ms']:.1f} ms ({called[-1]['own_ms']:.1f} ms of it its own)"
        )
    scripts, worst = Spread.of([each for each, _ in held]), max(held)[1]
    results.add(
        "longest time that one script holds Redis, one-month data",
        f"{scripts.text('.1f')} ms ({worst})",
        "≤ 50 ms",
        met=scripts.most <= 50,
    )
    calls = Spread.of([each["longest_ms"] for each in called])
    worst_call = max(called, key=lambda each: each["longest_ms"])
    results.add(
        "longest time that the event loop is not free during an import",
        f"{calls.text('.1f')} ms, {worst_call['own_ms']:.1f} ms of it its own work (at most"
        f" {max(each['most_own_ms'] for each in called):.1f} ms at any time); p99.9"
        f" {Spread.of([each['p999_ms'] for each in called]).median:.1f} ms; {worst_call['where']}",
        "≤ 50 ms",
        met=calls.most <= 50,
    )


def _longest_script(plan: Plan, file: DataFile) -> tuple[float, str]:
    """Return milliseconds and name of the longest script, from the server's log of slow commands."""
    names = {_digest(name): name for name in SCRIPTS}
    with (
        daybook.data_directory(plan.folder) as data_dir,
        daybook.serving(data_dir) as service,
        Redis(unix_socket_path=service.socket) as client,
    ):
        client.config_set("slowlog-max-len", _LONGEST_LOG)
        client.config_set("slowlog-log-slower-than", _SLOW_MICROSECONDS)
        daybook.import_files([file.path], data_dir)
        slow = client.slowlog_get(_LONGEST_LOG)
    found = [
        (each["duration"] / 1000, names.get(words[1].decode(), "another script"))
        for each in slow
        if (words := each["command"].split())[0].upper() in {b"EVALSHA", b"EVAL"}
    ]
    return max(found, default=(_SLOW_MICROSECONDS / 1000, "none took longer"))


def _digest(script: str) -> str:
    text = files("daybook.stores").joinpath("scripts", f"{script}.lua").read_bytes()
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()


def _longest_call(plan: Plan, file: DataFile) -> dict[str, float]:
    with daybook.data_directory(plan.folder) as data_dir:
        ran = run_program(
            [sys.executable, "-m", "benchmarks.programs.loop_lag", str(file.path)],
            folder=data_dir.parent,
            environment=daybook.environment(DataDir=data_dir),
        )
    if ran.code:
        raise BenchmarkError(f"loop_lag ended with {ran.code}: {ran.errors[-2000:]}")
    found: dict[str, float] = json.loads(ran.output.splitlines()[-1])
    return found
