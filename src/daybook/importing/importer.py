"""Brings one file into the queue: from its checkpoint to its end, and on as it grows."""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import structlog

from daybook.domain.position import Position
from daybook.domain.source import Stat
from daybook.errors import RecoveringError, SourceError, StoreUnavailableError
from daybook.failpoints import hit
from daybook.importing.correcting import Correcting
from daybook.importing.opening import find_source
from daybook.importing.pieces import Piece, Pieces
from daybook.importing.summing_pool import SummingPool
from daybook.runtime.loop import repeat
from daybook.runtime.stop import StopToken
from daybook.sources.batch_codec import BatchHeader, encode
from daybook.sources.files import stat_of
from daybook.sources.reader import BlockReader
from daybook.sources.row_sums import Limits
from daybook.stores import redis_keys
from daybook.stores.lease import Lease
from daybook.stores.stores import Stores

log = structlog.get_logger("importer")

BLOCK_BYTES = 8 << 20
_FULL_WAIT_SECONDS = 0.02
ANOTHER_IMPORTER = "another importer"


class Step(Enum):
    """What a single step of an importer did."""

    MOVED = "moved"
    """It queued something, or found out where to go on."""
    AT_END = "at end"
    """There is nothing to read now."""
    STOPPED = "stopped"


class ImportOptions(NamedTuple):
    replay_speed: float
    """1 honours `sleep_ms`, 10 is ten times faster, 0 ignores it."""
    limits: Limits
    lease_seconds: float
    alone: bool
    """No other service can be importing: leases that are found at the start are those of a killed one."""
    complete: bool = False
    """A last line without a line end counts."""
    poll_seconds: float = 0.5
    block_bytes: int = BLOCK_BYTES


class ImportContext(NamedTuple):
    """What all importers of a process share."""

    stores: Stores
    slots: asyncio.Semaphore
    """Blocks in memory at once."""
    opening: asyncio.Lock
    """One file is identified at a time."""
    pool: SummingPool
    correcting: Correcting
    options: ImportOptions


@dataclass
class _OpenFile:
    """A file that is being read or followed."""

    reader: BlockReader
    cutting: Pieces
    source: str
    lease: Lease
    position: Position
    stat: Stat
    """Of the file, taken before what was read of it."""
    pieces: AsyncGenerator[Piece, None]
    renew_at: float
    noted: tuple[int, Stat, str] | None = None
    """What is known in Redis of the file's end."""
    draining: bool = False
    """The path names another file by now; this one is read to its end first."""


class Importer:
    """`run` is a loop round `import_next`, which tests call directly."""

    def __init__(self, path: Path, context: ImportContext, *, steal: bool | None = None) -> None:
        """`steal`: the first look need not wait for a lease that a killed process left."""
        self.path = path
        self._context = context
        self._sources = context.stores.sources
        self._file: _OpenFile | None = None
        self._seen: Stat | None = None
        self._steal = context.options.alone if steal is None else steal
        self._offset = 0
        """Where the source's checkpoint was when there was nothing more to read."""
        self._told = ""
        """The last reason to wait that was logged."""
        self.source_id: str | None = None
        self.problem = ""
        """What keeps the file from being read, for people."""
        self.waits_for = ""
        """What the next step waits for, for people; `ANOTHER_IMPORTER` while another process holds the lease."""
        self.has_queued = False
        """Whether this object queued rows."""
        self.already_imported = False
        """All that was there when the file was first looked at had been read before."""
        self.at_end = asyncio.Event()
        """Set while there is nothing to read."""

    async def run(self, stop: StopToken) -> None:
        """Import and follow the file until the stop. A problem with the file is reported, not raised."""

        async def step() -> float:
            try:
                if await self.import_next(stop) is not Step.AT_END:
                    return 0.0
                self.at_end.set()
            except SourceError as error:
                await self._report(str(error))
            return self._context.options.poll_seconds

        try:
            await repeat(step, stop, self._wait_for_store)
        finally:
            await self.close()

    async def _wait_for_store(self, error: Exception, _: float) -> None:
        self.waits_for = str(error)
        await self.close()
        if not isinstance(error, RecoveringError):
            log.warning("import waits", file=str(self.path), reason=str(error))
        elif self._told != str(error):
            log.info("import waits", file=str(self.path), reason=str(error))
        self._told = str(error)

    async def import_next(self, stop: StopToken) -> Step:
        """Queue the next piece; looks at the file first, if need be."""
        if self._file is None:
            if self._seen is not None and self._seen == _stat(self.path) and await self._is_queued():
                return Step.AT_END
            async with self._context.opening:
                self._file = await self._look()
            if self._file is None:
                return Step.AT_END
        file = self._file
        if not await self._keep_lease(file):
            return Step.AT_END
        piece = await stop.or_stop(_next(file.pieces))
        if piece is None:
            return Step.STOPPED if stop.is_set() else await self._end(file)
        self.at_end.clear()
        self.problem = self.waits_for = ""
        if not await self._queue(file, piece, stop):
            return Step.STOPPED
        return Step.STOPPED if await self._pause(file, piece.pause_seconds, stop) else Step.MOVED

    async def _pause(self, file: _OpenFile, seconds: float, stop: StopToken) -> bool:
        """Wait, keeping the lease; True when the stop came."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and self._file is file:
            if await stop.wait(min(left, self._context.options.lease_seconds / 3)):
                return True
            await self._keep_lease(file)
        return False

    async def _is_queued(self) -> bool:
        """Whether Redis still has all that was read; after a restore it may have gone back."""
        if self.source_id is None:
            return True
        return await self._sources.checkpoint(self.source_id) == self._offset

    async def _look(self) -> _OpenFile | None:
        """Find out what the file is and go to its checkpoint; None when there is nothing to read now."""
        options = self._context.options
        found = await find_source(self.path, self._sources, complete=options.complete)
        source, first_look = found.source, self.source_id is None
        self._seen = found.stat
        if source is None:
            return None
        self.source_id, self._offset = source.id, source.read.offset
        if found.reader is None or found.header is None:
            if first_look and source.read.rows:
                self.already_imported = True
                log.info("already imported", file=str(self.path), source=source.id, rows=source.read.rows)
            return None
        lease = Lease(
            self._context.stores.redis,
            redis_keys.source_lease(source.id),
            redis_keys.source_holder(source.id),
            options.lease_seconds,
        )
        taken = False
        try:
            steal, self._steal = self._steal, False
            taken = not await lease.acquire(steal=steal)
            if taken and source.problem:
                await self._sources.update(source.id, problem="")
        finally:
            if not taken:
                found.reader.close()
                self._seen = None
        self.waits_for = "" if taken else ANOTHER_IMPORTER
        if not taken:
            return None
        pieces = Pieces(
            found.reader,
            found.header,
            source.id,
            options.limits,
            self._context.slots,
            options.block_bytes,
            self._context.pool,
            self._context.correcting,
        )
        return _OpenFile(
            reader=found.reader,
            lease=lease,
            cutting=pieces,
            source=source.id,
            position=source.read,
            stat=found.stat,
            pieces=pieces.after(source.read, options.replay_speed),
            renew_at=time.monotonic() + options.lease_seconds / 3,
        )

    async def _end(self, file: _OpenFile) -> Step:
        """All that was there is queued: note it, and see whether there is more by now."""
        hit("file.end")
        if file.draining:
            await self.close()
            return Step.MOVED
        unfinished = await asyncio.to_thread(file.reader.unfinished)
        noted = (file.reader.size, file.stat, unfinished)
        if noted != file.noted:
            await self._sources.update(file.source, size=file.reader.size, untouched=file.stat, problem=unfinished)
            file.noted = noted
        self._offset = file.position.offset
        if not await self._is_queued():
            await self.close()
            return Step.MOVED
        stat = _stat(self.path)
        if stat == file.stat or stat is None:
            if unfinished:
                file.pieces = self._pieces_on(file)
            return Step.AT_END
        if not await asyncio.to_thread(file.reader.is_continued):
            await self.close()
            return Step.MOVED
        file.draining = await asyncio.to_thread(file.reader.is_replaced)
        if not file.draining:
            file.stat = stat
            await self._sources.update(file.source, size=max(stat.size, file.reader.size))
        file.reader.forget_ahead()
        file.pieces = self._pieces_on(file)
        return Step.MOVED

    def _pieces_on(self, file: _OpenFile) -> AsyncGenerator[Piece, None]:
        return file.cutting.after(file.position, self._context.options.replay_speed)

    async def _queue(self, file: _OpenFile, piece: Piece, stop: StopToken) -> bool:
        """Push one piece, waiting while the queue is full; False when the stop came first."""
        start = file.position.offset
        end = piece.sums.advance(file.position, piece.digest)
        element = await asyncio.to_thread(encode, BatchHeader(file.source, start, end), piece.sums.cells)
        hit("file.encoded")
        while True:
            answer = await self._context.stores.queue.enqueue(file.source, start, end, element, piece.sums.rejects)
            if answer.ok or answer.moved_to == end.offset:
                file.position = end
                self.has_queued = True
                return True
            if not answer.full:
                log.warning("checkpoint is elsewhere; the file is looked at again", file=str(self.path))
                await self.close()
                return True
            await self._keep_lease(file)
            if await stop.wait(_FULL_WAIT_SECONDS):
                return False

    async def _keep_lease(self, file: _OpenFile) -> bool:
        """False when another importer has taken the file over; then it is let go."""
        now = time.monotonic()
        if now < file.renew_at:
            return True
        file.renew_at = now + self._context.options.lease_seconds / 3
        if await file.lease.renew():
            return True
        await self.close()
        return False

    async def _report(self, problem: str) -> None:
        """Say once what is wrong with the file, and where its source is looked at."""
        await self.close()
        self._seen = None
        self.at_end.set()
        if problem == self.problem:
            return
        self.problem = problem
        log.error(problem)
        if self.source_id is not None:
            try:
                await self._sources.update(self.source_id, problem=problem)
            except StoreUnavailableError as error:
                log.debug("the problem is not noted in Redis", reason=str(error))

    async def close(self) -> None:
        """Let the file go; the next step looks at it anew."""
        file, self._file, self._seen = self._file, None, None
        if file is None:
            return
        await file.pieces.aclose()
        file.reader.close()
        try:
            await file.lease.release()
        except StoreUnavailableError as error:
            log.debug("lease not given back; it expires", reason=str(error))


async def _next(pieces: AsyncGenerator[Piece, None]) -> Piece | None:
    return await anext(pieces, None)


def _stat(path: Path) -> Stat | None:
    try:
        return stat_of(path)
    except OSError:
        return None
