"""The rejected rows of a source, and what became of them."""

from collections.abc import AsyncIterator
from typing import NamedTuple

from daybook.api.reject_csv import RejectColumns, columns_of, csv_line
from daybook.domain.position import Correction, Reject
from daybook.domain.source import Source
from daybook.errors import UnknownSourceError
from daybook.stores.archive import Archive
from daybook.stores.hot_aggregates import HotAggregates
from daybook.stores.rejected_rows import RejectedRow, void_among
from daybook.stores.source_registry import SourceRegistry

_PER_PAGE = 1000


class JudgedReject(NamedTuple):
    reject: Reject
    correction: Correction | None
    """The row that counts instead."""


class Rejects:
    """Reads Redis before the archive, so that nothing is missed that moves in between."""

    def __init__(self, hot: HotAggregates, archive: Archive, registry: SourceRegistry) -> None:
        self._hot, self._archive, self._registry = hot, archive, registry

    async def source(self, source_id: str) -> Source:
        """Raises UnknownSourceError."""
        found = await self._registry.get(source_id)
        if found is None:
            raise UnknownSourceError(f"no source {source_id!r}")
        return found

    async def page(self, source_id: str, after_line: int, number: int) -> list[JudgedReject]:
        """Up to `number` of a source's rejects behind a line, by line."""
        waiting = [
            reject
            for reject in await self._hot.waiting_rejects()
            if reject.source == source_id and reject.line > after_line
        ]
        archived = await self._archive.rejects(source_id, after_line, number)
        by_line = {reject.line: reject for reject in (*waiting, *archived)}
        lines = sorted(by_line)[:number]
        corrections = await self._standing(source_id, lines) if lines else {}
        return [JudgedReject(by_line[line], corrections.get(line)) for line in lines]

    async def _standing(self, source_id: str, lines: list[int]) -> dict[int, Correction]:
        """Corrections whose row counts."""
        found = await self._archive.corrections(source_id, lines)
        void = await void_among(found.values(), self._hot, self._archive, self._registry)
        return {line: each for line, each in found.items() if each not in void.so_far | void.for_ever}

    async def _open_row(self, columns: RejectColumns, reject: Reject) -> RejectedRow | None:
        """The row that a further correction takes the place of; None when there is nothing left to correct.

        Of a rejected correction it is the original one, as long as nobody has corrected that.
        """
        original = columns.corrects(reject)
        if original is None:
            return RejectedRow(reject.source, reject.line)
        return None if await self._standing(original.source, [original.line]) else original

    async def csv(self, source: Source) -> AsyncIterator[str]:
        """CSV text of the header, then of each reject that nobody has corrected."""
        columns = columns_of(source)
        yield csv_line(columns.header)
        after = 0
        while page := await self.page(source.id, after, _PER_PAGE):
            for reject, correction in page:
                if correction is None and (corrects := await self._open_row(columns, reject)):
                    yield csv_line(columns.row(reject, corrects))
            after = page[-1].reject.line
