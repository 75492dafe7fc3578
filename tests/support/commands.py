"""Runs the commands of `daybook` as processes on one folder."""

import json
import os
import signal
from decimal import Decimal
from pathlib import Path

import redis

from support.oracle import Data
from support.service import (
    Process,
    Setting,
    embedded_socket,
    end_left_over,
    environment,
    until,
    wait_for_end,
)
from support.spawner import Spawner

JANUARY = ("--from", "2026-01-01", "--to", "2026-01-31")


class Command:
    """One run of `daybook`."""

    def __init__(self, process: Process, output: Path, log: Path) -> None:
        self.process, self._output, self._log = process, output, log

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def code(self) -> int:
        """Wait until the command ends; return its exit code."""
        return wait_for_end(self.process)


class Commands:
    """Starts commands that share one folder, one DataDir and `settings`."""

    def __init__(self, spawner: Spawner, folder: Path) -> None:
        self._spawner, self.folder = spawner, folder
        self.data_dir = folder / "data"
        self.settings: dict[str, Setting] = {"DataDir": self.data_dir}
        self._runs: list[Process] = []

    def start(self, *words: object) -> Command:
        number = len(self._runs)
        output, log = (self.folder / f"{name}-{number}" for name in ("output", "log"))
        process = self._spawner.start(
            "daybook",
            *map(str, words),
            environment=environment(self.settings),
            folder=self.folder,
            output=output,
            log=log,
        )
        self._runs.append(process)
        return Command(process, output, log)

    def run(self, *words: object, code: int = 0) -> Command:
        command = self.start(*words)
        ended = command.code()
        assert ended == code, f"{words} ended with {ended}\n{command.output}\n{command.log}"
        assert "Traceback" not in command.log
        return command

    def interrupt(self, number: int, *words: object) -> Command:
        """Start an import and send it the signal `number` after its first rows are counted."""
        command = self.start(*words)
        counted = -1

        def more_rows() -> bool:
            nonlocal counted
            before, counted = counted, self._rows_in_redis()
            return 0 <= before < counted

        until(more_rows, "rows are counted")
        os.kill(command.process.pid, number)
        return command

    def _rows_in_redis(self) -> int:
        place = embedded_socket(self.data_dir)
        if place is None:
            return -1
        try:
            with redis.Redis(unix_socket_path=place, decode_responses=True) as client:
                texts = [client.get(key) or "{}" for key in client.scan_iter("count:*")]
        except redis.exceptions.ConnectionError:
            return -1
        return sum(number for text in texts for number in json.loads(text).values())

    def stats(self) -> Data:
        data: Data = json.loads(self.run("stats", *JANUARY, "--format", "json").output, parse_float=Decimal)["data"]
        return data

    def close(self) -> None:
        for process in self._runs:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                wait_for_end(process)
        end_left_over(self.data_dir)
