"""Writes a sample file, with a progress bar."""

from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from daybook.errors import ConfigurationError
from daybook.sample import SampleSpec, write_sample


def generate_file(spec: SampleSpec, path: Path) -> None:
    """Write the file. Raises ConfigurationError when the spec is invalid or the file cannot be written."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"))
    try:
        with Progress(*columns, transient=True) as progress:
            task = progress.add_task(str(path), total=spec.rows)
            write_sample(spec, path, on_rows=lambda rows: progress.update(task, completed=rows))
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
