"""Runs programs and measures their seconds, largest resident memory and processor time."""

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

_LOOK_SECONDS = 0.01
_TICKS = os.sysconf("SC_CLK_TCK")
_END_SECONDS = 30.0


class BenchmarkError(Exception):
    """One measurement failed; the others can go on."""


class Usage(NamedTuple):
    """The usage of one process, as last seen."""

    peak_bytes: int = 0
    """Largest resident memory, with mapped pages of files."""
    cpu_seconds: float = 0.0


class Watch:
    """Reads the usage of processes until it is closed.

    The kernel keeps the largest resident size itself, so only the time after the last reading is missed. `getrusage`
    is not used, because it counts the moment in which a child is still a copy of its parent.
    """

    def __init__(self, find: Callable[[], Mapping[str, int]]) -> None:
        """Take `find`, which returns the present processes, name → pid. It is called for each reading."""
        self.usage: dict[str, Usage] = {}
        self._find = find
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS):
            for name, pid in self._find().items():
                if (seen := usage_of(pid)) is not None:
                    self.usage[name] = seen


def usage_of(pid: int) -> Usage | None:
    """Return the usage of a process; None when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    peak = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")), None)
    return None if peak is None else Usage(int(peak) << 10, (int(times[11]) + int(times[12])) / _TICKS)


def children(pid: int) -> list[int]:
    """Return the running children of a process."""
    try:
        return [int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in _words(task / "children")]
    except OSError:
        return []


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def together(usage: Mapping[str, Usage], prefix: str) -> Usage:
    """Return the sum over all processes with a name prefix. It is an upper bound of their memory at any moment."""
    found = [each for name, each in usage.items() if name.startswith(prefix)]
    return Usage(sum(each.peak_bytes for each in found), sum(each.cpu_seconds for each in found))


class Ran(NamedTuple):
    code: int
    seconds: float
    """Time from the start of the process to its end."""
    usage: Usage
    output: str
    errors: str


def run_program(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str] | None = None, seconds: float = 3600
) -> Ran:
    """Run a program to its end. End it when it takes longer than `seconds`."""
    output, errors = folder / "output", folder / "errors"
    with output.open("wb") as out, errors.open("wb") as err:
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
        try:
            with Watch(lambda: {"it": process.pid}) as watch:
                code = process.wait(seconds)
                spent = time.perf_counter() - begun
        finally:
            end(process)
    found = Ran(code, spent, watch.usage.get("it", Usage()), output.read_text(), errors.read_text(errors="replace"))
    output.unlink()
    errors.unlink()
    return found


def end(process: subprocess.Popen[bytes], seconds: float = _END_SECONDS) -> None:
    """Ask a process to stop, and kill it when it does not stop in time. Does nothing when it has ended."""
    if process.poll() is None and seconds:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    if process.poll() is None:
        process.kill()
    process.wait()


class Spread(NamedTuple):
    """The median and the range of the rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))

    def text(self, form: str) -> str:
        """Return `4.1 (3.9 to 4.2)`, or only the median when all rounds are equal."""
        median, least, most = (format(each, form) for each in self)
        return median if least == most else f"{median} ({least} to {most})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Return the ratios round by round, so that a slow round slows both sides."""
    return Spread.of([our / their for our, their in zip(ours, theirs, strict=True)])
