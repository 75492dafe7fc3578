"""Sample files, as `daybook generate` writes them."""

from pathlib import Path

from daybook.sample import SampleSpec, write_sample


def generated(path: Path, *, rows: int, bad_rows: float = 0, seconds: float = 0, seed: int = 7, days: int = 31) -> Path:
    """Write rows from 2026-01-01 on, and return the path."""
    write_sample(SampleSpec(rows=rows, days=days, bad_rows=bad_rows, seconds=seconds, seed=seed), path)
    return path
