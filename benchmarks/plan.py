"""What is to be measured, where, and how often."""

import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks.files import Files


class Plan(NamedTuple):
    folder: Path
    """For generated files, which stay, and for data directories, which do not."""
    files: Files
    rows: int
    rounds: int
    quick: bool
    peers_python: str
    """The interpreter that has the peers' packages."""

    def say(self, text: str) -> None:
        say(text)


def say(text: str) -> None:
    """Progress, beside the results."""
    print(text, file=sys.stderr, flush=True)
