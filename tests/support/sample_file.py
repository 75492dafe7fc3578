"""Sample files, as `daybook generate` writes them."""

from pathlib import Path

from daybook.sample import SampleSpec, write_sample


def generated(path: Path, *, rows: int, bad_rows: float = 0, seconds: float = 0, seed: int = 7, days: int = 31) -> Path:
    """Rows from the first of January 2026 on; returns the path."""
    write_sample(SampleSpec(rows=rows, days=days, bad_rows=bad_rows, seconds=seconds, seed=seed), path)
    return path
