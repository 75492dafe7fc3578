"""The progress of an import, file by file, and the outcome for each file."""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from daybook.cli.asking import held_line
from daybook.cli.waiting import Waits
from daybook.domain.source import Source
from daybook.logs import printable

_COLUMNS = (
    TextColumn("{task.description}", markup=False),
    BarColumn(),
    TextColumn("{task.percentage:>3.0f}%"),
    TextColumn("{task.fields[rows]:,} rows  {task.fields[rate]:,.0f} rows/s  {task.fields[rejected]:,} rejected"),
    TimeElapsedColumn(),
    TimeRemainingColumn(),
)


class WaitingProgress(Progress):
    """Progress bars with a line below them that names what the command waits for."""

    def __init__(self, waits: Waits, *columns: ProgressColumn, transient: bool = False) -> None:
        self._waits = waits
        console = Console(stderr=True)
        super().__init__(*columns, console=console, transient=transient, disable=not console.is_terminal)
        waits.shown = console.is_terminal

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if text := self._waits.text:
            yield Text(text, style="yellow")


class ImportProgress(WaitingProgress):
    """One progress bar for each file."""

    def __init__(self, waits: Waits, paths: Sequence[Path]) -> None:
        super().__init__(waits, *_COLUMNS)
        self._begun = time.monotonic()
        self._first_rows: dict[Path, int] = {}
        self._bars = {
            path: self.add_task(printable(path.name), total=None, rows=0, rate=0.0, rejected=0) for path in paths
        }

    def draw(self, path: Path, source: Source) -> None:
        rows = source.applied.rows
        counted = rows - self._first_rows.setdefault(path, rows)
        self.update(
            self._bars[path],
            total=source.size or None,
            completed=source.applied.offset,
            rows=rows,
            rate=counted / max(time.monotonic() - self._begun, 0.001),
            rejected=source.applied.rejected + source.refused.rows,
        )


def report(results: Mapping[Path, tuple[Source | None, str, bool]]) -> bool:
    """Print the outcome for each file: its source, its problem, and whether this command queued rows of it.

    Returns False when a file has a problem or no rows yet.
    """
    console = Console(highlight=False, soft_wrap=True, markup=False)
    good = True
    for path, (source, known_problem, has_queued) in results.items():
        problem = known_problem
        if source is not None and source.held is not None:
            problem = held_line(source)
        elif source is not None:
            word = "imported" if has_queued or not source.read.rows else "already imported"
            console.print(
                f"{printable(str(path))}: {word}: {source.read.rows} rows = {source.applied_rows} applied + "
                f"{source.rejected_rows} rejected + {source.waiting} waiting"
            )
        elif not problem:
            problem = "nothing to import: the file holds no rows yet"
        if problem:
            good = False
            console.print(printable(f"{path}: {problem.removeprefix(f'{path}: ')}"))
    return good
