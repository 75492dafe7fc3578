"""Measures the largest memory of a service, of its summing workers and of its embedded server."""

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from support.service import Service, embedded_servers


class Peak(NamedTuple):
    """Largest resident memory in MiB, since each process began."""

    service: int
    workers: int
    """Sum over the running summing workers."""
    server: int

    @property
    def all(self) -> int:
        return sum(self)


def peak_of(service: Service) -> Peak:
    pid = service.running.pid
    servers = embedded_servers(service.data_dir)
    workers = [child for child in _children(pid) if child not in servers]
    return Peak(_megabytes(pid), sum(map(_megabytes, workers)), sum(map(_megabytes, servers)))


def _children(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            if f"\nPPid:\t{parent}\n" in status.read_text():
                found.append(int(status.parent.name))
    return found


def _megabytes(pid: int) -> int:
    told = re.search(r"^VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert told is not None
    return int(told[1]) >> 10
