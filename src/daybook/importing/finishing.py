"""Tells in the log that a file is imported: all its rows are applied."""

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from daybook.domain.source import Source
from daybook.stores.source_registry import SourceRegistry

log = structlog.get_logger("importer")

_PAUSE_SECONDS = 60.0
"""Shortest time between two lines about a file that keeps growing."""
_MANY = 0.1
"""Share of rejected rows from which the line is a warning."""


class Finishes:
    """The sources whose rows were queued here and not told as applied yet."""

    def __init__(self, sources: SourceRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self._sources, self._clock = sources, clock
        self._open: dict[str, Path] = {}
        self._not_before: dict[str, float] = {}

    def note_queued(self, source_id: str, path: Path) -> None:
        """Note that rows of the source were queued, to its present end."""
        self._open[source_id] = path

    async def look(self) -> None:
        """Log each noted source that is applied to its end. Raises StoreUnavailableError."""
        now = self._clock()
        due = [each for each in self._open if self._not_before.get(each, 0.0) <= now]
        for source in await self._sources.some(due) if due else ():
            if source.applied.offset == source.read.offset:
                path = self._open.pop(source.id)
                self._not_before[source.id] = now + _PAUSE_SECONDS
                _tell(path, source)


def _tell(path: Path, source: Source) -> None:
    many = source.rejected_rows > _MANY * source.read.rows
    write = log.warning if many or source.problem else log.info
    facts = {"problem": source.problem} if source.problem else {}
    write(
        "import finished" if not source.problem else "imported as far as it can be read",
        file=str(path),
        source=source.id,
        rows=source.read.rows,
        applied=source.applied_rows,
        rejected=source.rejected_rows,
        **source.control_totals,
        **facts,
        shown_by_command=True,
    )
