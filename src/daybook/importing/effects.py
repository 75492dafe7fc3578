"""Finds what a source counted, from its contributions or else from its file, and proves it by the source's ledger."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import NamedTuple, Protocol

from daybook.domain.bucket import TYPES, Sums, add_transaction
from daybook.domain.money import parse_total
from daybook.domain.reject import Correction, Reject, raw_text
from daybook.domain.reversal import RevertedCorrections
from daybook.domain.source import Source
from daybook.errors import ReversalError, SourceError
from daybook.sources.columns.cells import CellColumns
from daybook.sources.recount import Recount, recount
from daybook.stores.rejected_rows import void_among
from daybook.stores.stores import Stores

_REJECTS_AT_ONCE = 1000
_NEEDED = "its contributions were not kept; to revert source {}, put the imported file back at its path"


class Effect(NamedTuple):
    """All that counts because of one source."""

    sums: Sums
    """Its own rows, and the rows that correct its rejects."""
    corrections: list[RevertedCorrections]
    """The rows that correct its rejects, by file of corrections."""


class Contributed(Protocol):
    """The contributions of a source."""

    @property
    def cells(self) -> CellColumns: ...

    @property
    def complete(self) -> bool: ...

    @property
    def adds_up(self) -> bool: ...


ReadContributions = Callable[[Stores, str], Awaitable[Contributed | None]]


class Effects:
    """Calls raise ReversalError when the effect cannot be proved."""

    def __init__(self, stores: Stores, contributions: ReadContributions) -> None:
        self._stores, self._contributions = stores, contributions

    async def of(self, source: Source) -> Effect:
        """Return the effect of a source at rest, which is marked `reverting`."""
        lines = await self._rejected_lines(source.id)
        contributed = await self._contributed(source)
        effect = Effect((await _counted(source, lines)).sums if contributed is None else contributed, [])
        for by_source, corrections in (await self._corrections(source, lines)).items():
            effect.corrections.append(await self._reverted(source, by_source, corrections, effect.sums))
        return effect

    async def _contributed(self, source: Source) -> Sums | None:
        """Return what the contributions say that the source counted; None when they are not complete."""
        found = await self._contributions(self._stores, source.id)
        if found is None or not (found.complete and found.adds_up):
            return None
        return await asyncio.to_thread(found.cells.sums)

    async def _rejected_lines(self, source_id: str) -> set[int]:
        lines = {each.line for each in await self._stores.hot.waiting_rejects() if each.source == source_id}
        after = 0
        while page := await self._stores.archive.rejects(source_id, after, _REJECTS_AT_ONCE):
            lines |= {each.line for each in page}
            after = page[-1].line
        return lines

    async def _corrections(self, source: Source, lines: Collection[int]) -> dict[str, list[Correction]]:
        """Return the corrections that count of a source's rejects, by file of corrections."""
        if not lines or source.is_of_corrections:
            return {}
        found = (await self._stores.archive.corrections(source.id, sorted(lines))).values()
        void = await void_among(list(found), self._stores)
        if void.unread | void.so_far:
            raise ReversalError(f"corrections of source {source.id} are being imported: try again when they are in")
        by_source: dict[str, list[Correction]] = defaultdict(list)
        for each in found:
            if each not in void.for_ever:
                by_source[each.by_source].append(each)
        return by_source

    async def _reverted(
        self, reverted: Source, by_source: str, corrections: list[Correction], sums: Sums
    ) -> RevertedCorrections:
        """Add the rows of one file of corrections to `sums`, and return what becomes of them."""
        source = await self._stores.sources.get(by_source)
        if source is None or source.reverting is not None or source.read != source.applied:
            raise ReversalError(f"corrections of source {reverted.id} are being changed: try again later")
        lines = {each.by_line for each in corrections}
        found = await _counted(source, await self._rejected_lines(source.id), lines)
        if found.picked.keys() != lines:
            raise ReversalError(f"{source.shown_path}: no longer holds the corrections of source {reverted.id}")
        reason = f"the row that it corrects went with source {reverted.id}, which was reverted"
        units = dict.fromkeys(TYPES, 0)
        own: Sums = {}
        for row, _ in found.picked.values():
            add_transaction(sums, row)
            add_transaction(own, row)
            units[row.type.plural] += row.units
        cells = [(*bucket, method, *cell) for bucket, methods in own.items() for method, cell in methods.items()]
        rejects = [Reject(source.id, line, raw_text(raw), reason) for line, (_, raw) in sorted(found.picked.items())]
        return RevertedCorrections(
            source.id, source.applied.offset, units["deposits"], units["withdrawals"], rejects, cells
        )


async def _counted(source: Source, rejected: Collection[int], pick: Collection[int] = ()) -> Recount:
    """Return the sums of a source's rows, read from its file again."""
    try:
        path, end, profile = Path(source.path), source.applied.offset, source.profile
        found = await asyncio.to_thread(recount, path, end, rejected, lambda _: None, pick, profile=profile)
    except SourceError as error:
        raise ReversalError(f"{error}: {_NEEDED.format(source.id)}") from error
    if found.digest != source.applied.digest:
        raise ReversalError(f"{source.shown_path}: holds other rows now: {_NEEDED.format(source.id)}")
    totals = {kind: parse_total(source.control_totals[kind]) for kind in TYPES}
    if found.applied != source.applied_rows or any(found.total(kind) != totals[kind] for kind in TYPES):
        raise ReversalError(f"{source.shown_path}: its rows do not add up to source {source.id}: run `daybook verify`")
    return found
