"""What the system tells of processes: /proc on Linux, `ps` elsewhere."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_STATE, _PARENT, _START_TICKS = 0, 1, 19  # fields of /proc/PID/stat behind the name
_GONE = ("Z", "X")
_SEPARATOR_OF_PS = " "


class Process(NamedTuple):
    """A process, told from a later one of the same pid by its start."""

    pid: int
    started: str


class CommandLine(NamedTuple):
    pid: int
    text: str
    separator: str
    """What stands between two arguments: NUL, or a space where only `ps` tells."""


class _Status(NamedTuple):
    state: str
    parent: int
    started: str

    def is_zombie(self) -> bool:
        return self.state.startswith(_GONE)


def identify(pid: int) -> Process | None:
    """None when there is none. A zombie still is one."""
    status = _status(pid)
    return Process(pid, status.started) if status else None


def is_alive(process: Process) -> bool:
    """False as soon as it has ended, even if nobody has reaped it."""
    status = _status(process.pid)
    return status is not None and status.started == process.started and not status.is_zombie()


def reap(process: Process) -> None:
    """Removes the zombie of a process that became our child when its parent died; harmless for any other."""
    status = _status(process.pid)
    if status and status.started == process.started and status.is_zombie() and status.parent == os.getpid():
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


def signal(process: Process, *numbers: int) -> None:
    """Sends them if that very process still lives. Raises PermissionError for another user's."""
    for number in numbers:
        if is_alive(process):
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)


def command_lines() -> Iterator[CommandLine]:
    """Of every process that this user may see."""
    return _proc_command_lines() if _has_proc() else _ps_command_lines()


def _has_proc() -> bool:
    return (_PROC / "self" / "stat").exists()


def _status(pid: int) -> _Status | None:
    return _proc_status(pid) if _has_proc() else _ps_status(pid)


def _proc_status(pid: int) -> _Status | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return _Status(fields[_STATE], int(fields[_PARENT]), f"{_boot()}/{fields[_START_TICKS]}")


def _boot() -> str:
    """Start times count from the boot, so they repeat after the next."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _proc_command_lines() -> Iterator[CommandLine]:
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                yield CommandLine(int(folder.name), os.fsdecode((folder / "cmdline").read_bytes()), "\0")


def _ps_status(pid: int) -> _Status | None:
    fields = _ps("-o", "stat=,ppid=,lstart=", "-p", str(pid)).split()
    return _Status(fields[0], int(fields[1]), " ".join(fields[2:])) if fields else None


def _ps_command_lines() -> Iterator[CommandLine]:
    for line in _ps("-axww", "-o", "pid=,command=").splitlines():
        pid, _, text = line.strip().partition(" ")
        yield CommandLine(int(pid), text.strip(), _SEPARATOR_OF_PS)


def _ps(*options: str) -> str:
    answer = subprocess.run(  # noqa: S603 - fixed words and a number
        ["ps", *options],  # noqa: S607 - where it is differs between systems
        capture_output=True,
        check=False,
        env=os.environ | {"LC_ALL": "C"},
    )
    return os.fsdecode(answer.stdout)
