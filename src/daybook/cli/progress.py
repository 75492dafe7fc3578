"""The progress of an import, file by file."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from daybook.cli.waiting import Waits
from daybook.domain.source import Source
from daybook.logs import printable

_WIDE = 100
"""Columns of a terminal that show all of `_COLUMNS`."""
_COLUMNS = (
    TextColumn("{task.description}", markup=False),
    BarColumn(),
    TextColumn("{task.percentage:>3.0f}%"),
    TextColumn("{task.fields[rows]:,} rows  {task.fields[rate]:,.0f} rows/s  {task.fields[rejected]:,} rejected"),
    TimeElapsedColumn(),
    TimeRemainingColumn(),
)
_NARROW_COLUMNS = (
    TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
    TextColumn("{task.percentage:>3.0f}%"),
    TextColumn("{task.fields[rows]:,} rows  {task.fields[rejected]:,} rejected", table_column=Column(no_wrap=True)),
    TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
)


class WaitingProgress(Progress):
    """Progress bars with a line below them that names what the command waits for."""

    def __init__(
        self, waits: Waits, *columns: ProgressColumn, narrow: Sequence[ProgressColumn] = (), transient: bool = False
    ) -> None:
        """Show `columns`, or those of `narrow` where they do not fit."""
        self._waits = waits
        console = Console(stderr=True)
        if narrow and console.width < _WIDE:
            columns = tuple(narrow)
        super().__init__(*columns, console=console, transient=transient, disable=not console.is_terminal)
        waits.shown = console.is_terminal

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if text := self._waits.text:
            yield Text(text, style="yellow")


class ImportProgress(WaitingProgress):
    """One progress bar for each file."""

    def __init__(self, waits: Waits, paths: Sequence[Path]) -> None:
        super().__init__(waits, *_COLUMNS, narrow=_NARROW_COLUMNS)
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
