"""Queues the rows of one file: from its checkpoint to its end, and on as it grows."""

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import structlog

from daybook.domain.reversal import Reversal
from daybook.domain.source import Held, Source, Stat
from daybook.errors import RecoveringError, SourceError, StoreUnavailableError
from daybook.failpoints import hit
from daybook.importing.context import ImportContext, OpenFile, Step
from daybook.importing.opening import Finder, Found, open_file
from daybook.importing.pieces import Piece
from daybook.runtime.stop import StopToken
from daybook.runtime.waits import Wait
from daybook.sources.batch_codec import BatchHeader, encode
from daybook.sources.files import stat_or_none
from daybook.sources.reader import BlockReader
from daybook.sources.records import Header
from daybook.sources.sketch import merged, pack

log = structlog.get_logger("importer")

_FULL_WAIT_SECONDS = 0.02
ANOTHER_IMPORTER, QUEUE_ROOM = "another importer", "room in the queue"
"""Reasons to wait."""
_FEW_CELLS = 500
"""Largest number of cells that are encoded without a thread, whose start would take longer."""


class Importer:
    """Imports one file. `visit` calls `import_next` in a loop; tests call `import_next` directly."""

    def __init__(self, path: Path, context: ImportContext, *, steal: bool | None = None) -> None:
        """Take `path`. With `steal`, the first look takes a lease that a killed process left.

        `steal` is `context.options.alone` unless given.
        """
        self.path = path
        self._context = context
        self._sources = context.stores.sources
        self._file: OpenFile | None = None
        self._seen: Stat | None = None
        self._steal = context.options.alone if steal is None else steal
        self._offset = 0
        """The source's checkpoint in bytes, when the file was last read to its end."""
        self._again: float | None = None
        """Seconds after which the file must be looked at again although it does not change."""
        self._told_cut = False
        self._logged_reason = ""
        """The last reason to wait that was logged."""
        self.source_id: str | None = None
        self.problem = ""
        """The reason why the file cannot be read, as text for people; empty when there is none."""
        self.held: Held | None = None
        """Why nothing is read of the file's source; None when it is read."""
        self.wait = Wait()
        """The wait, from try to try until rows move: for a store, for room in the queue, or for `ANOTHER_IMPORTER`."""
        self.already_imported = False
        """True when the first look at the file found that its rows were read before."""
        self.pieces = 0
        """Number of pieces that this object has queued."""
        self.at_end = asyncio.Event()
        """Set while there is nothing to read."""

    @property
    def waits_for(self) -> str:
        """The thing that the next step waits for, as text; empty while it does not wait."""
        return self.wait.reason

    @property
    def has_queued(self) -> bool:
        """True when this object has queued rows."""
        return self.pieces > 0

    @property
    def is_open(self) -> bool:
        return self._file is not None

    @property
    def stat(self) -> Stat | None:
        """The file's stat before what was last read of it; None when it must be looked at again."""
        return self._file.stat if self._file is not None else self._seen

    @property
    def offset(self) -> int:
        """The source's checkpoint in bytes, when the file was last read to its end."""
        return self._offset

    def settle(self, source: Source, stat: Stat) -> None:
        """Take a file with this stat as read to its end, as the list of sources says."""
        self.source_id, self._offset, self._seen = source.id, source.read.offset, stat
        self._tell_imported(source)
        self.at_end.set()

    async def visit(self, stop: StopToken) -> float | None:
        """Import until there is nothing to read now; the file stays open, without its lease.

        Returns the seconds after which to look again although nothing changes; None: no need. A problem with the file
        is reported, not raised. Raises StoreUnavailableError with the file closed.
        """
        self._again = None
        try:
            while (step := await self.import_next(stop)) is Step.MOVED:
                pass
            if step is Step.AT_END:
                self.at_end.set()
                if self.waits_for != ANOTHER_IMPORTER:
                    self.wait.end()
                if self._file is not None and self._file.renew_at is not None:
                    self._file.renew_at = None
                    await self._file.lease.give_back()
        except SourceError as error:
            await self._report(str(error))
            return self._context.options.poll_seconds
        except StoreUnavailableError as error:
            await self._wait_for_store(error)
            raise
        except BaseException:
            await self.close()
            raise
        return self._again

    async def _wait_for_store(self, error: Exception) -> None:
        self.wait.begin(str(error))
        await self.close()
        if isinstance(error, RecoveringError) and self._logged_reason != str(error):
            log.info("import waits", file=str(self.path), reason=str(error))
        self._logged_reason = str(error)

    async def import_next(self, stop: StopToken) -> Step:
        """Queue the next piece of the file, waiting while the queue is full. Open the file first when it is not open.

        Raises SourceError when the file cannot be imported as it is, StoreUnavailableError when a store is away.
        """
        if self._file is None:
            if self._seen is not None and self._seen == stat_or_none(self.path) and await self._is_queued():
                return Step.AT_END
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
        self.problem = ""
        if piece.cut_pauses and not self._told_cut:
            self._told_cut = True
            log.warning("a pause in sleep_ms is longer than an hour and is cut to one", file=str(self.path))
        if not await self._queue(file, piece, stop):
            return Step.STOPPED
        return Step.STOPPED if await self._pause(file, piece.pause_seconds, stop) else Step.MOVED

    async def _pause(self, file: OpenFile, seconds: float, stop: StopToken) -> bool:
        """Wait and keep the lease meanwhile; return True when the stop came."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and self._file is file:
            if await stop.wait(min(left, self._context.options.lease_seconds / 3)):
                return True
            await self._keep_lease(file)
        return False

    async def _is_queued(self) -> bool:
        """Return True while the checkpoint in Redis is where reading ended. A restore may have moved it back."""
        if self.source_id is None:
            return True
        return await self._sources.checkpoint(self.source_id) == self._offset

    async def _look(self) -> OpenFile | None:
        """Identify the file, take its lease and go to its checkpoint; return None when there is nothing to read now."""
        found = await Finder(self._context).find(self.path)
        source, first_look = found.source, self.source_id is None
        self._seen = found.stat
        if source is None:
            return None
        self.source_id, self._offset, self.held = source.id, source.read.offset, source.held
        if source.held is not None:
            self._seen = None  # the next visit asks the list of sources again
        if found.reader is None or found.header is None:
            if source.reverting is not None:
                self._seen, self._again = None, self._context.options.poll_seconds
                await self._end_left_reversal(source, source.reverting)
            if first_look:
                self._tell_imported(source)
            return None
        return await self._take(found, found.reader, found.header, source)

    async def _end_left_reversal(self, source: Source, mark: Reversal) -> None:
        """Take the mark off that a killed process left: whoever reverts a source has its lease until it is queued."""
        lease = self._sources.lease(source.id, self._context.options.lease_seconds)
        if not mark.queued and not await lease.acquire():
            log.warning("a reversal was interrupted and is given up", file=str(self.path), source=source.id)
            await self._sources.end_reversal(source.id, mark)
            await lease.give_back()

    def _tell_imported(self, source: Source) -> None:
        if source.reverted is not None:
            log.info(
                "was reverted and is not imported; `daybook import` counts it again",
                file=str(self.path),
                source=source.id,
                reverted_at=source.reverted.at,
            )
        if source.read.rows:
            self.already_imported = True
            log.info("already imported", file=str(self.path), source=source.id, rows=source.read.rows)

    async def _take(self, found: Found, reader: BlockReader, header: Header, source: Source) -> OpenFile | None:
        """Take the lease of a source that is open at its checkpoint; close it and return None when another has it."""
        options, held = self._context.options, found.lease
        lease = held or self._sources.lease(source.id, options.lease_seconds)
        taken = False
        try:
            steal, self._steal = self._steal, False
            self._again = None if held else await lease.acquire(steal=steal) or None
            taken = self._again is None
            if taken and source.problem:
                await self._sources.update(source.id, problem="")
        finally:
            if not taken:
                reader.close()
                self._seen = None
        if not taken:
            self.wait.begin(ANOTHER_IMPORTER)
            return None
        if self.waits_for == ANOTHER_IMPORTER:
            self.wait.end()
        return open_file(self._context, found, reader, header, source, lease)

    async def _end(self, file: OpenFile) -> Step:
        """Note that the file is queued to its end, and look for more rows or another file at its path."""
        hit("file.end")
        if file.draining:
            await self.close()
            return Step.MOVED
        unfinished = "" if file.reader.exhausted else await asyncio.to_thread(file.reader.unfinished)
        stat = stat_or_none(self.path)
        at_rest = stat == file.stat or stat is None
        noted = (file.reader.size, file.stat, unfinished)
        if noted != file.noted:
            await self._sources.update(
                file.source,
                size=file.reader.size,
                untouched=file.stat,
                problem=unfinished,
                release=file.lease if at_rest else None,
            )
            file.noted, file.renew_at = noted, None if at_rest else file.renew_at
        self._offset = file.position.offset
        if not file.has_queued and not await self._is_queued():
            await self.close()
            return Step.MOVED
        file.has_queued = False
        if at_rest or stat is None:
            if unfinished:
                file.pieces = self._pieces_on(file)
                self._again = self._context.options.poll_seconds
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

    def _pieces_on(self, file: OpenFile) -> AsyncGenerator[Piece, None]:
        return file.cutting.after(file.position, self._context.options.replay_speed)

    async def _queue(self, file: OpenFile, piece: Piece, stop: StopToken) -> bool:
        """Push one piece, waiting while the queue is full; return False when the stop came first."""
        start = file.position.offset
        end = piece.sums.advance(file.position, piece.digest)
        header, cells = BatchHeader(file.source, start, end), piece.sums.cells
        element = (
            encode(header, cells) if len(cells.days) <= _FEW_CELLS else await asyncio.to_thread(encode, header, cells)
        )
        hit("file.encoded")
        sketch = merged(file.sketch, piece.sums.sketch)
        packed = b"" if sketch is file.sketch else pack(sketch)
        while True:
            answer = await self._context.stores.queue.enqueue(
                file.source, start, end, element, piece.sums.rejects, sketch=packed
            )
            if answer.ok or answer.moved_to == end.offset:
                file.position, file.sketch, file.has_queued = end, sketch, True
                look = file.cutting.look
                if packed and self._context.questions is not None and (look is None or sketch is not look.sketch):
                    self._context.questions.learn(file.source, sketch)
                self.wait.end()
                self.pieces += 1
                return True
            if not answer.full:
                log.warning("checkpoint moved; the file is looked at again", file=str(self.path))
                await self.close()
                return True
            self.wait.begin(QUEUE_ROOM)
            await self._keep_lease(file)
            if await stop.wait(_FULL_WAIT_SECONDS):
                return False

    async def _keep_lease(self, file: OpenFile) -> bool:
        """Renew the lease when it is due, or take it again; close the file and return False when another has it."""
        now, due = time.monotonic(), file.renew_at
        if due is not None and now < due:
            return True
        file.renew_at = now + self._context.options.lease_seconds / 3
        if due is None:
            self._again = await file.lease.acquire() or None
        elif not await file.lease.renew():
            self._again = self._context.options.poll_seconds
        if self._again is None:
            return True
        await self.close()
        return False

    async def _report(self, problem: str) -> None:
        """Close the file; log its problem once and note it at its source in Redis."""
        await self.close()
        self.wait.end()
        self._seen = None
        self.at_end.set()
        if problem == self.problem:
            return
        self.problem = problem
        log.error(problem, shown_by_command=True)
        if self.source_id is not None:
            try:
                await self._sources.update(self.source_id, problem=problem)
            except StoreUnavailableError as error:
                log.debug("the problem could not be noted in Redis", reason=str(error))

    async def close(self) -> None:
        """Close the file and release its lease; the next step opens it again."""
        file, self._file, self._seen = self._file, None, None
        if file is None:
            return
        await file.pieces.aclose()
        file.reader.close()
        if file.renew_at is not None:
            await file.lease.give_back()


async def _next(pieces: AsyncGenerator[Piece, None]) -> Piece | None:
    return await anext(pieces, None)
