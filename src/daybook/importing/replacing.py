"""Reads a file that takes the place of a source."""

import asyncio
import hashlib
import secrets
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from daybook.clock import moment_text, utc_now
from daybook.domain.position import Position
from daybook.domain.reject import Reject
from daybook.domain.source import Source, Stat
from daybook.errors import ReversalError
from daybook.failpoints import hit
from daybook.importing.context import ImportContext
from daybook.importing.pieces import Pieces
from daybook.sources.columns.cells import CellColumns, joined
from daybook.sources.files import ContentFile, stat_of
from daybook.sources.identity import Identity, head_of, identify
from daybook.sources.profile import Profile
from daybook.sources.reader import BlockReader
from daybook.sources.records import Header
from daybook.sources.sketch import NO_HASHES, Hashes, merged
from daybook.stores.held_sources import change_held

_PARTS_TOGETHER = 32


class Content(NamedTuple):
    """The rows of a replacement."""

    source: Source
    end: Position
    """The position after its last row."""
    cells: CellColumns
    rejects: list[Reject]
    sketch: Hashes


class Replacement:
    """A file that takes the place of a source. It is registered first, and read when that source is at rest."""

    def __init__(self, context: ImportContext, path: Path, replaced: Source) -> None:
        self._context, self._path, self._replaced = context, path, replaced
        self._stat: Stat | None = None

    async def register(self) -> Source:
        """Return the replacement's source, from an earlier try or a new one.

        Raises SourceError when the file cannot be read, ReversalError when its content counts already.
        """
        sources = self._context.stores.sources
        while True:
            head = await asyncio.to_thread(head_of, self._path)
            known = await sources.near(str(self._path), head)
            for source in known.sources:
                if source.replaces == self._replaced.id and source.path == str(self._path) and source.head == head:
                    return source
            found = await asyncio.to_thread(self._identify, known.sources)
            if found.source is not None:
                raise ReversalError(f"{self._path}: its rows count already, as source {found.source.id}")
            if found.waits:
                raise ReversalError(f"{self._path}: holds no rows yet")
            header = await asyncio.to_thread(self._header)
            new = Source(
                id=f"{hashlib.sha256(head).hexdigest()[:12]}-{secrets.token_hex(4)}",
                path=str(self._path),
                head=head,
                size=found.size,
                columns=header.names,
                profile=header.profile,
                replaces=self._replaced.id,
                since=moment_text(utc_now()),
                problem=f"it replaces source {self._replaced.id}; that reversal is not made yet",
            )
            async with self._context.registering:
                version = sources.version_with_no_more(new.path, head, known)
                if version and await sources.register(new, version):
                    await self._drop_held(known.sources)
                    return new

    async def _drop_held(self, known: list[Source]) -> None:
        """Drop the source as which this file is held: its content counts as the replacement now."""
        for each in known:
            if each.held is not None and each.path == str(self._path):
                dropped = structs.replace(each.held, dropped=moment_text(utc_now()))
                await change_held(self._context.stores.redis, each, dropped)

    def _identify(self, known: list[Source]) -> Identity:
        """Identify the file among the sources that count, the replaced one aside if it had this path."""
        counted = (each for each in known if each.reverted is None and each.held is None)
        others = [each for each in counted if not self._is_replaced(each)]
        return identify(self._path, others)

    def _is_replaced(self, source: Source) -> bool:
        return source.id == self._replaced.id and source.path == str(self._path)

    def _header(self) -> Header:
        profile = self._context.options.profiles.of_replacement(self._path, self._replaced)
        reader = BlockReader(self._path, profile=profile)
        try:
            header = reader.header()
        finally:
            reader.close()
        if header is None:
            raise ReversalError(f"{self._path}: holds no rows yet")
        if header.layout.rejected is not None:
            raise ReversalError(f"{self._path}: a file of corrections cannot replace a source")
        return header

    async def read(self, source: Source) -> Content:
        """Read the whole file. Raises SourceError, and ReversalError when its last line has no end."""
        context, options = self._context, self._context.options
        self._stat = await asyncio.to_thread(stat_of, self._path)
        profile = Profile.from_json(source.profile)
        reader = BlockReader(self._path, complete=options.complete, profile=profile)
        try:
            header = await asyncio.to_thread(reader.header)
            if header is None:
                raise ReversalError(f"{self._path}: holds no rows yet")
            pieces = Pieces(
                reader, header, source.id, options.limits, context.slots, options.block_bytes, context.pool,
                context.correcting,
            )  # fmt: skip
            position, parts, rejects, sketch = Position(), list[CellColumns](), list[Reject](), NO_HASHES
            async for piece in pieces.after(Position(), 0.0):
                position = piece.sums.advance(position, piece.digest)
                rejects += piece.sums.rejects
                sketch = merged(sketch, piece.sums.sketch)
                parts.append(piece.sums.cells)
                if len(parts) >= _PARTS_TOGETHER:
                    parts = [await asyncio.to_thread(joined, parts)]
            if unfinished := await asyncio.to_thread(reader.unfinished):
                raise ReversalError(f"{self._path}: {unfinished}: `--complete` counts it")
        finally:
            reader.close()
        hit("replacement.read")
        if not await asyncio.to_thread(self._is_as_read, source, position):
            raise ReversalError(f"{self._path}: was written to while it was read: try again when it is whole")
        return Content(source, position, await asyncio.to_thread(joined, parts), rejects, sketch)

    def _is_as_read(self, source: Source, end: Position) -> bool:
        """Return whether the file holds what was registered and read. With another head no copy of it is known."""
        content = ContentFile(self._path)
        try:
            same_head = content.read_at(0, len(source.head)) == source.head
            return same_head and content.digests([end.offset]).get(end.offset) == end.digest
        finally:
            content.close()

    async def settle(self, source: Source) -> None:
        """Note that the file is read to its end, so that it may rest."""
        await self._context.stores.sources.update(source.id, size=source.read.offset, untouched=self._stat, problem="")
