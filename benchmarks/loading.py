"""Starts the load client and reads its answer."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from benchmarks.measure import BenchmarkError, end

_OVERTIME_SECONDS = 60.0


class Load(NamedTuple):
    port: int
    paths: Sequence[str]
    connections: int
    seconds: float
    rate: float = 0.0
    """Requests a second; 0 sends the next request when the answer arrives."""


class Answers(NamedTuple):
    """The due time of each request, by the monotonic clock, and the time until its answer; in order of answers."""

    spent: list[tuple[float, float]]

    def within(self, begin: float, end: float) -> "Answers":
        """Return the answers whose requests were due between two moments."""
        return Answers([each for each in self.spent if begin <= each[0] < end])

    @property
    def rate(self) -> float:
        """Answers a second."""
        first = min(due for due, _ in self.spent)
        last = max(due + seconds for due, seconds in self.spent)
        return len(self.spent) / (last - first)

    def percentile_ms(self, percent: int) -> float:
        if len(self.spent) < 2:
            raise BenchmarkError("too few requests were answered; take more rows")
        return (
            statistics.quantiles([seconds for _, seconds in self.spent], n=100, method="inclusive")[percent - 1] * 1000
        )


class Client(Protocol):
    def __call__(self, *, stop: bool) -> Answers:
        """Wait until the time is over, or end the client now; return its answers."""
        ...


def load(folder: Path, wanted: Load) -> Answers:
    """Run a client until its time is over."""
    with loading(folder, wanted) as client:
        return client(stop=False)


@contextmanager
def loading(folder: Path, wanted: Load) -> Iterator["Client"]:
    """Run a client during the context. The yielded function returns its answers."""
    paths = folder / f"paths-{os.getpid()}"
    paths.write_text("\n".join(wanted.paths))
    words = [wanted.port, paths, wanted.connections, wanted.seconds, wanted.rate]
    client = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.programs.load", *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

    def answers(*, stop: bool) -> Answers:
        assert client.stdout is not None
        assert client.stdin is not None
        if stop:
            client.stdin.close()
        output = client.stdout.read()
        if client.wait(_OVERTIME_SECONDS):
            raise BenchmarkError(f"the load client ended with {client.returncode}")
        return Answers([(due, spent) for due, spent in json.loads(output)])

    try:
        yield answers
    finally:
        end(client)
        for pipe in (client.stdin, client.stdout):
            if pipe is not None:
                pipe.close()
        paths.unlink()
