"""Writes a sample file, with a progress bar."""

import sys
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from daybook.errors import ConfigurationError
from daybook.logs import printable
from daybook.sample import SampleSpec, write_sample


def generate_file(spec: SampleSpec, path: Path) -> None:
    """Write the file. Raises ConfigurationError when the spec is invalid or the file cannot be written."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn("rows"))
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(printable(str(path)), total=spec.rows)
            write_sample(spec, path, on_rows=lambda rows: progress.update(task, completed=rows))
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    last_day = spec.first_day + timedelta(days=spec.days - 1)
    sys.stdout.write(
        f"{printable(str(path))}: wrote {spec.rows:,} rows from {spec.first_day} to {last_day}, "
        f"{spec.faulty_rows:,} of them bad, {path.stat().st_size:,} bytes\n"
    )
