"""The common part of all peers: command line, clock and answer."""

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

NOT_INSTALLED = 3
"""Exit code of a peer whose package is missing."""

Row = tuple[str, str, str, str]
"""Day, `deposit` or `withdrawal`, payment method, and the amount as the peer's text."""


def package(name: str) -> Any:
    """Import a package. Ends the program with `NOT_INSTALLED` when it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        sys.exit(NOT_INSTALLED)


def run(work: Callable[[Path, Path], Iterable[Row]], version: str) -> None:
    """Run the work on the file and the empty folder in the command line, and print time and totals.

    The time is that of the work. The interpreter and the peer's packages are loaded before.
    """
    file, folder = (Path(word) for word in sys.argv[1:3])
    begun = time.perf_counter()
    totals = list(work(file, folder))
    seconds = time.perf_counter() - begun
    json.dump({"version": version, "seconds": seconds, "totals": totals}, sys.stdout)
