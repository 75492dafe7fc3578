"""Takes the whole effect of a source back, once, and may put another file in its place in the same step.

`docs/decisions/0023-reversals.md` has the reasons. The order of the steps:

1. Take the source's lease, so that no importer reads on, and wait until all its queued rows are applied.
2. Mark the source `reverting`: from here on no batch of it is queued, and no row corrects its rejects.
3. Find what it counted, and read the replacement.
4. Queue one batch that subtracts the one and adds the other. The lane applies it in one commit.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from daybook.clock import moment_text, utc_now
from daybook.domain.reversal import Reversal, Reverses
from daybook.domain.source import QUEUE_SOURCE, Source
from daybook.errors import ReversalError, StoreUnavailableError, UnknownSourceError
from daybook.failpoints import hit
from daybook.importing.context import ImportContext
from daybook.importing.effects import Effect, Effects, ReadContributions
from daybook.importing.replacing import Content, Replacement
from daybook.sources.batch_codec import BatchHeader, encode
from daybook.sources.columns.cells import from_sums, stacked
from daybook.sources.sketch import pack
from daybook.stores.lease import Lease
from daybook.stores.stores import Stores
from daybook.stores.transaction_queue import MAX_ELEMENT_BYTES

log = structlog.get_logger("reversal")

_LEASE_SECONDS = 10.0
_REST_SECONDS = 30.0
"""Longest wait for another importer to give the source up, and for its queued rows to be applied."""
_POLL_SECONDS = 0.05
_SOON_SECONDS = 5.0
_TRIES = 20
_PAUSE_SECONDS = 0.5


class Request(NamedTuple):
    """What is asked for."""

    source: str
    """Id of the source to revert."""
    by: str
    why: str


class Reverter:
    """Reverts sources of one process. Calls raise ReversalError with nothing changed, and StoreUnavailableError."""

    def __init__(self, stores: Stores, contributions: ReadContributions) -> None:
        self._stores, self._sources = stores, stores.sources
        self._effects = Effects(stores, contributions)

    async def revert(self, request: Request) -> Source:
        """Queue the reversal of a source; return the source as it is then, or as it was reverted before.

        `wait` returns once the reversal is made.
        """
        source = await self._revertible(request.source)
        return source if source.reverted is not None else await self._reverse(request, None)

    async def replace(self, request: Request, path: Path, context: ImportContext) -> Source:
        """Queue the reversal of a source together with a file's rows, which count from the same commit on.

        Returns the file's source; `wait` with the reverted source's id returns once the commit is made.
        Raises SourceError when the file cannot be read.
        """
        replacement = Replacement(context, path, await self._revertible(request.source))
        source = await replacement.register()
        if source.read.offset == 0:
            await self._reverse(request, (replacement, source))
        await replacement.settle(await self._get(source.id))
        return await self._get(source.id)

    async def _reverse(self, request: Request, replacing: tuple[Replacement, Source] | None) -> Source:
        async with self._leased(request.source):
            source = await self._at_rest(request.source)
            if source.reverted is not None:
                return _as_wanted(source, source.reverted, replacing[1].id if replacing else "")
            mark = Reversal(
                id=secrets.token_hex(8),
                by=request.by,
                why=request.why,
                at=moment_text(utc_now()),
                position=source.applied,
                refused=source.refused,
                replaced_by=replacing[1].id if replacing else "",
            )
            await self._sources.update(source.id, reverting=mark)
            hit("reversal.marked")
            source = await self._get(source.id)
            try:
                effect = await self._effects.of(source)
                content = await replacing[0].read(replacing[1]) if replacing else None
                hit("reversal.read")
                header, element = await asyncio.to_thread(_element, source, mark, effect, content)
            except BaseException:
                await self._sources.end_reversal(source.id, mark)
                raise
            await self._queue(source, mark, header, element, content)
        log.info("reversal queued", source=source.id, by=request.by, why=request.why, replaced_by=mark.replaced_by)
        return await self._get(source.id)

    async def revert_soon(self, source_id: str, by: str, why: str) -> Source:
        """Queue the reversal of a source, and wait a while for it; return the source, reverted or about to be."""
        source = await self.revert(Request(source_id, by, why))
        with suppress(TimeoutError):
            async with asyncio.timeout(_SOON_SECONDS):
                return await self.wait(source_id)
        return source

    async def wait(self, source_id: str) -> Source:
        """Return a source once its queued reversal is made. Raises ReversalError when it was not made."""
        while True:
            source = await self._get(source_id)
            if source.reverted is not None:
                return source
            if source.reverting is None:
                raise ReversalError(f"source {source_id} was not reverted: {source.problem or 'its reversal was lost'}")
            await asyncio.sleep(_POLL_SECONDS)

    async def _get(self, source_id: str) -> Source:
        source = await self._sources.get(source_id)
        if source is None:
            await self._sources.version()
            raise UnknownSourceError(f"no source {source_id!r}: `daybook sources` lists them")
        return source

    async def _revertible(self, source_id: str) -> Source:
        if source_id == QUEUE_SOURCE:
            raise ReversalError("rows that other producers pushed cannot be reverted together: only a file can")
        source = await self._get(source_id)
        if source.held is not None:
            raise ReversalError(f"source {source_id} is held and counts nothing: name the source that counts")
        return source

    @asynccontextmanager
    async def _leased(self, source_id: str) -> AsyncIterator[None]:
        """Hold the source's lease. Losing it does no harm: the queue compares the checkpoint and the mark."""
        lease = self._sources.lease(source_id, _LEASE_SECONDS)
        deadline = asyncio.get_running_loop().time() + _REST_SECONDS
        while await lease.acquire():
            if asyncio.get_running_loop().time() > deadline:
                raise ReversalError(f"source {source_id} is being imported: stop that import first, or wait for it")
            await asyncio.sleep(_POLL_SECONDS)
        keeping = asyncio.create_task(_keep(lease))
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await lease.give_back()

    async def _at_rest(self, source_id: str) -> Source:
        """Return the source once all its queued rows are applied, and a queued reversal is made or lost."""
        deadline = asyncio.get_running_loop().time() + _REST_SECONDS
        while True:
            source = await self._get(source_id)
            queued = source.reverting is not None and source.reverting.queued
            if source.reverted is not None or (not queued and source.read == source.applied):
                return source
            if asyncio.get_running_loop().time() > deadline:
                what = "its reversal is queued" if queued else f"{source.waiting} of its rows are not applied"
                raise ReversalError(f"source {source_id}: {what} yet: is a Daybook running? Try again later")
            await asyncio.sleep(_POLL_SECONDS)

    async def _queue(
        self, source: Source, mark: Reversal, header: BatchHeader, element: bytes, content: Content | None
    ) -> None:
        """Push the batch, waiting for room; try again after a lost reply."""
        rejects, sketch = (content.rejects, pack(content.sketch)) if content else ([], b"")
        for _ in range(_TRIES):
            try:
                answer = await self._stores.queue.enqueue(
                    header.source, header.start, header.end, element, rejects, source, sketch
                )
                hit("reversal.queued")
            except StoreUnavailableError as error:
                log.warning("reversal waits", source=source.id, reason=str(error))
            else:
                if answer.ok or await self._is_queued(source.id, mark):
                    return
                if not answer.full:
                    break
            await asyncio.sleep(_PAUSE_SECONDS)
        await self._sources.end_reversal(source.id, mark)
        raise ReversalError(f"source {source.id} changed meanwhile, or the queue stays full: try again")

    async def _is_queued(self, source_id: str, mark: Reversal) -> bool:
        source = await self._get(source_id)
        return any(each is not None and each.id == mark.id and (each.queued or each is source.reverted)
                   for each in (source.reverting, source.reverted))  # fmt: skip


def _as_wanted(source: Source, reversal: Reversal, replaced_by: str) -> Source:
    """Return a source that is reverted already. Raises ReversalError when another file was to take its place."""
    if replaced_by not in ("", reversal.replaced_by):
        raise ReversalError(
            f"source {source.id} was reverted on {reversal.at} by {reversal.by}: import the file without --replace"
        )
    return source


def _element(source: Source, mark: Reversal, effect: Effect, content: Content | None) -> tuple[BatchHeader, bytes]:
    """Return the batch that subtracts the effect and adds the content. Raises ReversalError when it is too large."""
    taken = from_sums(dict(sorted(effect.sums.items())))
    reversal = msgspec.structs.replace(mark, queued=True)
    reverses = Reverses(source.id, source.applied.offset, reversal, len(taken.days), effect.corrections)
    if content is None:
        header, cells = BatchHeader(source.id, source.applied.offset, source.applied, reverses), taken
    else:
        header = BatchHeader(content.source.id, 0, content.end, reverses)
        cells = stacked([content.cells, taken])
    element = encode(header, cells)
    if len(element) > MAX_ELEMENT_BYTES:
        raise ReversalError(f"source {source.id} has too many totals to be reverted in one step: {len(cells.days)}")
    return header, element


async def _keep(lease: Lease) -> None:
    while True:
        await asyncio.sleep(_LEASE_SECONDS / 3)
        try:
            await lease.renew()
        except StoreUnavailableError as error:
            log.debug("lease not renewed", reason=str(error))
