"""The rejects of a source, and their corrections."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

from daybook.books.reject_csv import RejectColumns, columns_of
from daybook.domain.reject import Correction, Reject, RejectedRow
from daybook.domain.source import Source
from daybook.errors import UnknownSourceError
from daybook.stores.rejected_rows import void_among
from daybook.stores.stores import Stores

_PER_PAGE = 1000


class JudgedReject(NamedTuple):
    """A reject and its correction."""

    reject: Reject
    correction: Correction | None
    """The correction that counts in its place, or is about to; None when there is none."""


class Rejects:
    """Reads rejects from Redis, then from the archive, so that one dumped in between is not missed."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def source(self, source_id: str) -> Source:
        """Return a source. Raises UnknownSourceError when it is in no store, RecoveringError during a restore."""
        found = await self._stores.sources.get(source_id)
        if found is None:
            await self._stores.sources.version()
            raise UnknownSourceError(f"no source {source_id!r}")
        return found

    async def page(self, source_id: str, after_line: int, number: int) -> list[JudgedReject]:
        """Return at most `number` rejects of a source after `after_line`, in line order; none of a reverted source."""
        source = await self._stores.sources.get(source_id)
        if source is not None and source.reverted is not None:
            return []
        waiting = [
            reject
            for reject in await self._stores.hot.waiting_rejects()
            if reject.source == source_id and reject.line > after_line
        ]
        archived = await self._stores.archive.rejects(source_id, after_line, number)
        by_line = {reject.line: reject for reject in (*waiting, *archived)}
        lines = sorted(by_line)[:number]
        corrections = await self._standing(source_id, lines) if lines else {}
        return [JudgedReject(by_line[line], corrections.get(line)) for line in lines]

    async def pages(self, source_id: str) -> AsyncIterator[list[JudgedReject]]:
        """Yield all rejects of a source, in line order."""
        after = 0
        while page := await self.page(source_id, after, _PER_PAGE):
            yield page
            after = page[-1].reject.line

    async def _standing(self, source_id: str, lines: list[int]) -> dict[int, Correction]:
        """Return the corrections that count or are about to, by corrected line."""
        found = await self._stores.archive.corrections(source_id, lines)
        void = await void_among(found.values(), self._stores)
        return {line: each for line, each in found.items() if each not in void.so_far | void.for_ever | void.unread}

    async def csv(self, source: Source, *, spreadsheet_safe: bool = False) -> AsyncIterator[str]:
        """Yield lines of CSV: the header, then each reject without a correction."""
        async for lines in self.csv_pages(source, spreadsheet_safe=spreadsheet_safe):
            for line in lines:
                yield line

    async def csv_pages(self, source: Source, *, spreadsheet_safe: bool = False) -> AsyncIterator[list[str]]:
        """Yield the lines of `csv`, some hundred at once."""
        columns = columns_of(source, spreadsheet_safe=spreadsheet_safe)
        yield [columns.header_line()]
        async for page in self.pages(source.id):
            rejects = [each.reject for each in page if each.correction is None]
            open_rows = await self._open_rows(source, columns, rejects)
            yield await asyncio.to_thread(_csv_lines, columns, rejects, open_rows)

    async def _open_rows(
        self, source: Source, columns: RejectColumns, rejects: Sequence[Reject]
    ) -> dict[int, RejectedRow]:
        """Return the row that a new correction has to name, by line of the reject; rejects without one are left out.

        A reject names itself. A rejected correction names the original reject, else two corrections could count for
        one row. It is left out when the original is corrected already. It is also left out when its text does not name
        the original, which is then still open in its own source.
        """
        if not source.is_of_corrections:
            return {reject.line: RejectedRow(source.id, reject.line) for reject in rejects}
        originals = {reject.line: row for reject in rejects if (row := columns.corrects(reject))}
        corrected: set[RejectedRow] = set()
        for named in {row.source for row in originals.values()}:
            lines = [row.line for row in originals.values() if row.source == named]
            corrected |= {RejectedRow(named, line) for line in await self._standing(named, lines)}
        return {line: row for line, row in originals.items() if row not in corrected}


def _csv_lines(columns: RejectColumns, rejects: Sequence[Reject], open_rows: Mapping[int, RejectedRow]) -> list[str]:
    return [columns.line(reject, open_rows[reject.line]) for reject in rejects if reject.line in open_rows]
