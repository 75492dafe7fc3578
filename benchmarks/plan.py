"""The plan of a run: its input, its folders and its number of rounds."""

import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks.files import Files


class Plan(NamedTuple):
    folder: Path
    """Folder for generated files, which stay, and for data directories, which are removed."""
    files: Files
    rows: int
    rounds: int
    quick: bool
    peers_python: str
    """Interpreter with the packages of the peers."""

    def say(self, text: str) -> None:
        say(text)


def say(text: str) -> None:
    """Print progress, apart from the results."""
    print(text, file=sys.stderr, flush=True)
