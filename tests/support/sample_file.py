"""Sample files by `daybook generate`."""

import subprocess
import sys
from pathlib import Path

from support.service import environment


def generated(path: Path, *, rows: int, bad_rows: float = 0, seconds: float = 0, seed: int = 7) -> Path:
    """One month of rows; returns the path."""
    subprocess.run(
        [
            *(sys.executable, "-m", "daybook", "generate", str(path), "--rows", str(rows)),
            *("--bad-rows", str(bad_rows), "--seconds", str(seconds), "--seed", str(seed)),
        ],
        env=environment({}),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return path
