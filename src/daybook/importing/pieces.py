"""Turns a file's blocks into pieces, in order; each piece becomes one batch. Blocks are read and summed ahead."""

import asyncio
import hashlib
import threading
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import islice
from typing import NamedTuple

from daybook.domain.position import Position
from daybook.failpoints import hit
from daybook.importing.correcting import Correcting
from daybook.importing.looking import Look
from daybook.importing.summing_pool import WORTH_A_THREAD, SummingPool
from daybook.sources.columns.cells import empty
from daybook.sources.pacing import paced
from daybook.sources.reader import Block, BlockReader
from daybook.sources.records import Header, records
from daybook.sources.row_sums import Limits, RowSums, overlong

_BLOCKS_AHEAD = 3


class Piece(NamedTuple):
    """The content of one batch."""

    sums: RowSums
    digest: str
    """SHA-256 of the source's content before the piece's end, in hex."""
    pause_seconds: float = 0.0
    """Seconds to wait after the piece is queued."""
    cut_pauses: bool = False
    """True when a row of the piece asks for a longer pause than the longest allowed."""


class Pieces(NamedTuple):
    """Cuts one file into pieces. All fields stay the same while the file is read."""

    reader: BlockReader
    header: Header
    source: str
    limits: Limits
    slots: asyncio.Semaphore
    """One slot for each block in memory, shared by all files."""
    block_bytes: int
    pool: SummingPool
    correcting: Correcting
    look: Look | None = None
    """The look at the file when it was new; None when it was not."""

    async def sum_block(self, block: Block, stopped: threading.Event) -> list[Piece]:
        """Sum up a block. Lines of rejects count from the block's beginning.

        Set `stopped` when the answer is no longer needed; it is then empty.
        """
        if block.overlong:
            encoding = self.header.layout.form.encoding
            return [Piece(overlong(block.data, block.size, self.source, encoding), block.digest)]
        hit("file.block")
        sums = self.look.take(block.data) if self.look else None
        sums = sums or await self.pool.sum_block(block.data, self.header.layout, self.source, self.limits, stopped)
        hit("file.summed")
        if stopped.is_set():
            return []
        if sum(part.size for part in sums) != block.size:
            raise AssertionError("the sums do not cover the whole block")
        if len(sums) == 1:
            return [Piece(sums[0], block.digest)]
        return await asyncio.to_thread(_pieces, block.data, block.hash_before, sums)

    async def after(self, position: Position, speed: float) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of all whole records after a position that the file holds now.

        The first piece of a file begins with its header; in a file of corrections it is the header alone.
        `speed` is the replay speed, 0 for no pauses.
        """
        if position.offset > 0:
            async with aclosing(self._rows(position.line, speed)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        header = Piece(
            RowSums(empty(), [], rows=0, lines=self.header.lines, size=self.header.size),
            self.reader.pass_header(self.header.size),
        )
        hit("file.header")
        async with aclosing(self._rows(self.header.lines, speed)) as pieces:
            first = None if self.header.layout.rejected else await anext(pieces, None)
            yield first._replace(sums=first.sums.after_header(header.sums)) if first else header
            async for piece in pieces:
                yield piece

    async def _rows(self, line: int, speed: float) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of all whole records that the file holds after the reader's place, in line `line` + 1."""
        if self.header.layout.rejected:
            async with aclosing(self._corrections(line)) as corrections:
                async for piece in corrections:
                    yield piece
            return
        paces = speed > 0 and self.header.layout.sleep_ms is not None
        async with aclosing(self._at_pace(speed) if paces else self._at_full_speed()) as pieces:
            async for piece in pieces:
                yield piece._replace(sums=piece.sums.after_lines(line))
                line += piece.sums.lines

    async def _at_full_speed(self) -> AsyncGenerator[Piece, None]:
        """Yield pieces without pauses; the next blocks are read and summed meanwhile."""
        ahead: deque[asyncio.Future[list[Piece]]] = deque()
        at_end, stopped = False, threading.Event()
        try:
            while True:
                while not at_end and len(ahead) < _BLOCKS_AHEAD and (not ahead or not self.slots.locked()):
                    block = await self._next_block()
                    if block is None:
                        at_end = True
                    else:
                        ahead.append(asyncio.ensure_future(self.sum_block(block, stopped)))
                        at_end = self.reader.exhausted
                if not ahead:
                    return
                for piece in await ahead[0]:
                    yield piece
                ahead.popleft()
                self.slots.release()
        finally:
            stopped.set()
            for summing in ahead:
                summing.cancel()
                self.slots.release()

    async def _corrections(self, line: int) -> AsyncGenerator[Piece, None]:
        """Yield pieces of a few records each, because each record has to be compared with a rejected row."""
        at_once = min(self.limits.buckets, self.limits.rejects)
        while block := await asyncio.to_thread(self.reader.next_block, 1):
            if block.overlong:
                yield Piece(overlong(block.data, block.size, self.source).after_lines(line), block.digest)
                line += 1
                continue
            running, found = block.hash_before.copy(), records(block.data, final=True)
            while some := await asyncio.to_thread(lambda found=found: list(islice(found, at_once))):  # type: ignore[misc]
                data = b"".join(record.raw for record in some)
                sums = await self.correcting.sum_records(some, self.header.layout, self.source, line)
                for piece in _pieces(data, running, sums):
                    yield piece
                running.update(data)
                line += sum(record.lines for record in some)

    async def _next_block(self) -> Block | None:
        """Return the next block, None at the file's end. A block holds a slot until it is queued."""
        await self.slots.acquire()
        block = None
        try:
            block = await asyncio.to_thread(self.reader.next_block, self.block_bytes)
        finally:
            if block is None:
                self.slots.release()
        return block

    async def _at_pace(self, speed: float) -> AsyncGenerator[Piece, None]:
        """Yield pieces with the pauses that `sleep_ms` asks for."""
        at_end = False
        while not at_end and (block := await asyncio.to_thread(self.reader.next_block, 1)):
            at_end = self.reader.exhausted
            if block.overlong:
                yield (await self.sum_block(block, threading.Event()))[0]
                continue
            running = block.hash_before.copy()
            dues, small = paced(block.data, self.header.layout, speed), block.size <= WORTH_A_THREAD
            while due := next(dues, None) if small else await asyncio.to_thread(next, dues, None):
                before = running.copy()
                running.update(due.data)
                part = Block(due.data, len(due.data), running.hexdigest(), before)
                *first, last = await self.sum_block(part, threading.Event())
                for piece in first:
                    yield piece
                yield last._replace(pause_seconds=due.pause_seconds, cut_pauses=due.cut_pauses)


def _pieces(data: bytes, hash_before: "hashlib._Hash", sums: list[RowSums]) -> list[Piece]:
    pieces, start, running = [], 0, hash_before.copy()
    for part in sums:
        running.update(data[start : start + part.size])
        start += part.size
        pieces.append(Piece(part, running.hexdigest()))
    return pieces
