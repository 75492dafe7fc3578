"""A command says what it waits for, and Ctrl-C ends it."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import JANUARY, Commands
from support.oracle import truth_of
from support.outside import OutsideRedis
from support.sample_file import generated
from support.service import until

ROWS = 20_000
TOLD = r"(?m)^daybook: waiting for Redis: Redis does not answer.*, since \d+ s$"
WRAPPED = r"waiting for Redis: Redis does not answer[^,]*,\s+since\s+\d+\s+s"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CTRL_C_SECONDS = 6.0
"""Two seconds, and what a busy machine adds."""


@pytest.fixture
def redis_server(daybook: Commands, tmp_path: Path) -> Iterator[OutsideRedis]:
    with OutsideRedis(tmp_path / "redis") as server:
        daybook.settings |= server.start().settings
        yield server


def rows_in(server: OutsideRedis) -> int:
    with server.client() as client:
        return len(list(client.scan_iter("count:*")))


@pytest.mark.parametrize("terminal", [False, True])
def test_an_import_says_that_redis_does_not_answer(
    daybook: Commands, redis_server: OutsideRedis, tmp_path: Path, terminal: bool
) -> None:
    file = generated(tmp_path / "month.csv", rows=ROWS, seconds=3)
    if terminal:
        daybook.settings |= {"FORCE_COLOR": 1}
    command = daybook.start("import", file, "--replay-speed", 1)
    until(lambda: rows_in(redis_server), "rows are counted")
    redis_server.send(signal.SIGSTOP)
    try:
        told = WRAPPED if terminal else TOLD
        until(lambda: re.search(told, CONTROL.sub("", command.log)), "it says what it waits for")
    finally:
        redis_server.send(signal.SIGCONT)
    assert command.code() == 0, command.log
    assert command.output == f"{file}: imported: {ROWS} rows = {ROWS} applied + 0 rejected + 0 waiting\n"
    assert daybook.stats() == truth_of(file).data


@pytest.mark.parametrize(
    "words", [("stats", *JANUARY), ("verify",), ("rejects", "export", "x.csv"), ("import", "x.csv")]
)
def test_ctrl_c_ends_a_command_that_waits_for_redis(
    daybook: Commands, redis_server: OutsideRedis, words: tuple[str, ...]
) -> None:
    generated(daybook.folder / "x.csv", rows=100)
    redis_server.send(signal.SIGSTOP)
    try:
        command = daybook.start(*words)
        until(lambda: re.search(TOLD, command.log), "it says what it waits for")
        begun = time.monotonic()
        os.kill(command.process.pid, signal.SIGINT)
        assert command.code() in {1, 130}
        assert time.monotonic() - begun < CTRL_C_SECONDS
        assert "Traceback" not in command.log
    finally:
        redis_server.send(signal.SIGCONT)
