"""Measures the largest memory of a service, of its summing workers and of its embedded server."""

import re
from pathlib import Path
from typing import NamedTuple

import psutil

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
    workers = [child.pid for child in psutil.Process(pid).children() if child.pid not in servers]
    return Peak(_megabytes(pid), sum(map(_megabytes, workers)), sum(map(_megabytes, servers)))


def _megabytes(pid: int) -> int:
    told = re.search(r"^VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert told is not None
    return int(told[1]) >> 10
