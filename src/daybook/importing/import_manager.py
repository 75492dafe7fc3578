"""Which files are imported when: those that the setting names, and those whose import was interrupted."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from pathlib import Path

import structlog

from daybook.domain.source import Stat
from daybook.errors import RecoveringError, SourceError, StoreUnavailableError
from daybook.importing.context import ImportContext
from daybook.importing.finishing import Finishes
from daybook.importing.importer import ANOTHER_IMPORTER, Importer
from daybook.importing.named_place import NamedPlace
from daybook.importing.opening import is_read
from daybook.importing.watching import FolderWatch, Place
from daybook.runtime.loop import Backoff
from daybook.runtime.outages import Outage
from daybook.runtime.stop import StopToken, end
from daybook.runtime.waits import Wait
from daybook.sources.files import folder_of, looked_at, stat_or_none

log = structlog.get_logger("importer")

_LOOK_SHARE = 200
"""A look at all files, or at all sources, is made again after so many times what it took."""
_FEW = 100
"""Largest number of changed files that are looked at one by one."""
_TROUBLED_SECONDS = 0.05
"""Times the number of files that have a problem or wait: the pause until each of them is looked at again."""


@dataclass(eq=False, slots=True)
class _File:
    """A file that is imported or at rest."""

    importer: Importer
    stat: Stat | None
    """State of the file before it was last read; with another one there may be more to read."""
    due: float | None = None
    """Time of its next visit; None while it is at rest or being visited."""
    again: bool = False
    """It changed while it was visited."""
    told_pieces: int = 0
    """Number of pieces whose end was noted for the log."""
    rested: float = 0.0
    """Time at which the last visit ended."""
    failure: str = ""
    """Failure that ended the last visit; empty when none did."""
    failed_at: int = 0
    """Number of pieces that were queued at that failure."""
    troubled: bool = False
    backoff: Backoff = field(default_factory=lambda: Backoff(0.2, 10.0))


class ImportManager:
    """Visits files while they have something to read, `max_open` at once; then they rest.

    A file at rest costs a stat now and then. It may stay open until another file needs its turn.
    """

    def __init__(self, spec: str | None, context: ImportContext, *, interrupted: bool = True) -> None:
        """`spec`: path, folder or glob. `interrupted`: import also what the list of sources says is not read."""
        self._spec, self._context, self._interrupted = spec, context, interrupted
        self._sources = context.stores.sources
        self._files: dict[Path, _File] = {}
        self._due: list[tuple[float, int, Path]] = []
        """A heap; an entry that is not its file's `due` is void."""
        self._turns = count()
        self._visits: dict[Path, asyncio.Task[None]] = {}
        self._resting: dict[Path, _File] = {}
        """Files at rest that are open, the longest first."""
        self._troubled = 0
        self._finishes = Finishes(self._sources)
        self._outage = Outage(log, "imports go on")
        self._away: set[Path] = set()
        """Files whose last visit found a store away."""
        self._wake = asyncio.Event()
        self._look_at = self._compare_at = 0.0
        self._settled = False
        self._ready = False
        """Redis has answered since a visit found it away."""
        self._started = time.monotonic()
        self._place = NamedPlace(spec)
        self._held: dict[str, str] = {}

    def add(self, path: Path, *, steal: bool = True) -> Importer:
        """Import and follow a further file; return its importer, which knows how far it is.

        Without `steal` it never takes the lease from a living importer.
        """
        self._see(path, stat_or_none(path), steal=steal)
        return self._files[path].importer

    def problems(self) -> dict[str, str]:
        """Return why files without a source cannot be imported, what imports died of, and what is wrong with the
        setting, under its name.
        """
        found = {
            str(path): file.importer.problem
            for path, file in self._files.items()
            if file.importer.problem and file.importer.source_id is None
        }
        return found | self.failures() | ({"CsvFilePath": self._place.problem} if self._place.problem else {})

    def held(self) -> dict[str, str]:
        """Return why sources are held, by path, as of the last look at the list of sources."""
        return dict(self._held)

    def compare_soon(self) -> None:
        """Compare the list of sources with the files without delay, because an operator has changed it."""
        self._compare_at = 0.0
        self._wake.set()

    def failures(self) -> dict[str, str]:
        """Return what imports died of that have not gone on since, by path."""
        return {
            str(path): file.failure
            for path, file in self._files.items()
            if file.failure and file.importer.pieces == file.failed_at
        }

    def waits(self) -> dict[str, Wait]:
        """Return the waits of the imports, by file; not those for another importer, which is at work.

        A missing file or folder of the setting is among them, under the setting's name.
        """
        missing = {"CsvFilePath": self._place.wait} if self._place.wait.reason else {}
        return missing | {
            f"import {path}": file.importer.wait
            for path, file in self._files.items()
            if file.importer.wait.reason not in ("", ANOTHER_IMPORTER)
        }

    async def run(self, stop: StopToken) -> None:
        """Import and follow until the stop. A problem or failure of one file concerns that file."""
        self._started = time.monotonic()
        watch = FolderWatch(self._on_change)
        try:
            while not stop.is_set():
                self._wake.clear()
                await self._look(watch)
                if await self._compare():
                    await self._start_due(stop)
                await stop.or_stop(self._wait())
            await asyncio.gather(*self._visits.values())
        finally:
            watch.watch(None)
            await end(list(self._visits.values()))
            for file in self._files.values():
                await file.importer.close()
            self._resting.clear()

    async def _wait(self) -> None:
        """Wait for a visit's end, a change, or the next moment at which something is due."""
        moments = [self._look_at, self._compare_at]
        if self._ready and self._due and len(self._visits) < self._context.options.max_open:
            moments.append(self._due[0][0])
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(moments) - time.monotonic())):
                await self._wake.wait()

    async def _look(self, watch: FolderWatch) -> None:
        """Look at all files, when that is due."""
        begun = time.monotonic()
        if begun < self._look_at:
            return
        others = [path for path, file in self._files.items() if file.due is None and path not in self._visits]
        try:
            found, place, seconds = await asyncio.to_thread(_look_at, self._spec, others)
            self._place.note("")
        except (SourceError, OSError) as error:
            self._place.note(str(error))
            found, place, seconds = await asyncio.to_thread(_look_at, None, others)
        watch.watch(place)
        for path, stat in found.items():
            self._see(path, stat)
        now = time.monotonic()
        pause = max(self._context.options.poll_seconds, _LOOK_SHARE * seconds, now - begun)
        self._look_at = now + pause

    def _see(self, path: Path, stat: Stat | None, *, steal: bool = True) -> None:
        """Let a file that is new or has changed have its turn, and forget one that is read and gone."""
        file = self._files.get(path)
        if file is None:
            options = self._context.options
            steal = steal and options.alone and time.monotonic() < self._started + options.lease_seconds
            self._files[path] = file = _File(Importer(path, self._context, steal=steal), stat)
            self._schedule(path, file)
        elif stat is None and file.stat is not None and not file.importer.problem:
            if not file.importer.is_open and path not in self._visits:
                del self._files[path]
                self._away.discard(path)
        elif stat != file.stat:
            file.stat = stat
            self._schedule(path, file)

    def _schedule(self, path: Path, file: _File, seconds: float = 0.0) -> None:
        if path in self._visits:
            file.again = True
            return
        due = time.monotonic() + seconds
        if file.due is None or due < file.due:
            file.due = due
            heappush(self._due, (due, next(self._turns), path))
            self._wake.set()

    def _on_change(self, paths: set[Path]) -> None:
        """Look at changed files at once; for unknown ones let all be looked at."""
        known = paths & self._files.keys() if len(paths) <= _FEW else set()
        for path in known:
            self._see(path, stat_or_none(path))
        if known != paths:
            self._look_at = min(self._look_at, time.monotonic() + self._context.options.poll_seconds)
            self._wake.set()

    async def _compare(self) -> bool:
        """Compare all checkpoints with where the files were read to, when that is due; return whether Redis is ready.

        A checkpoint that has moved back, as after a restore, has its file read again.
        """
        begun, worked = time.monotonic(), time.thread_time()
        if begun < self._compare_at:
            return self._ready
        try:
            if not self._settled and not self._context.options.profiles.options:  # each must have what is told
                await self._settle()
            progress = await self._sources.progress()
            await self._finishes.look()
        except StoreUnavailableError:
            self._ready = False
            self._compare_at = time.monotonic() + self._context.options.poll_seconds
            return False
        self._ready = True
        self._held = {
            self._sources.path_of(source) or source: found.held.reason
            for source, found in progress.items()
            if found.held is not None and not found.held.dropped
        }
        for path, file in self._files.items():
            source = file.importer.source_id
            if source is None or file.due is not None or path in self._visits or file.rested > begun:
                continue
            known = progress.get(source)
            if known is None or known.checkpoint != file.importer.offset or known.held != file.importer.held:
                self._schedule(path, file)
        if self._interrupted:
            for source, found in progress.items():
                unread = found.checkpoint < found.size and found.held is None
                place = self._sources.path_of(source) if unread else None
                if place and Path(place) not in self._files:
                    self.add(Path(place))
        took = 2 * (time.thread_time() - worked)  # Redis takes about as long; a Redis that stood still takes nothing
        self._compare_at = time.monotonic() + max(self._context.options.poll_seconds, _LOOK_SHARE * took)
        return True

    async def _settle(self) -> None:
        """Let files rest at once that the list of sources says are read to their end."""
        for source in (await self._sources.known()).sources:
            self._place.note_source(source.path)
            file = self._files.get(Path(source.path))
            if file is not None and file.stat is not None and is_read(source, file.stat):
                file.importer.settle(source, file.stat)
                file.due = None
        self._settled = True

    async def _start_due(self, stop: StopToken) -> None:
        """Visit files whose time has come, in order, as far as there is room."""
        while self._due and self._due[0][0] <= time.monotonic() and len(self._visits) < self._context.options.max_open:
            due, _, path = heappop(self._due)
            file = self._files.get(path)
            if file is None or file.due != due:
                continue
            file.due = None
            self._resting.pop(path, None)
            while len(self._visits) + len(self._resting) >= self._context.options.max_open:
                longest = next(iter(self._resting))
                await self._resting.pop(longest).importer.close()
            self._visits[path] = asyncio.create_task(self._visit(path, file, stop), name=f"import {path}")

    async def _visit(self, path: Path, file: _File, stop: StopToken) -> None:
        seconds: float | None = 0.0
        try:
            seconds = await file.importer.visit(stop)
            file.failure = ""
            file.backoff.reset()
            self._note_visited(path, file)
        except StoreUnavailableError as error:
            seconds = file.backoff.seconds()
            if not isinstance(error, RecoveringError):
                self._away.add(path)
                self._outage.goes_on(type(error), "imports wait", file=str(path), reason=str(error))
            self._ready, self._compare_at = False, 0.0
        except Exception as error:
            seconds = file.backoff.seconds()
            file.failure, file.failed_at = f"{type(error).__name__}: {error}", file.importer.pieces
            log.exception("import died and starts again", file=str(path), next_try_seconds=seconds)
        finally:
            del self._visits[path]
            self._rest(path, file, seconds)

    def _note_visited(self, path: Path, file: _File) -> None:
        importer = file.importer
        self._away.discard(path)
        if not self._away:
            self._outage.over()
        if importer.at_end.is_set() and importer.pieces > file.told_pieces and importer.source_id is not None:
            file.told_pieces = importer.pieces
            self._finishes.note_queued(importer.source_id, path)

    def _rest(self, path: Path, file: _File, seconds: float | None) -> None:
        """Note where a visit has ended; `seconds` until the next one, None: when there is a reason."""
        self._troubled += (seconds is not None) - file.troubled
        file.troubled = seconds is not None
        file.stat = file.importer.stat or file.stat
        file.rested = time.monotonic()
        if file.importer.is_open:
            self._resting[path] = file
        if file.again:
            file.again, seconds = False, 0.0
        elif seconds is not None:
            seconds = max(seconds, self._troubled * _TROUBLED_SECONDS)
        if seconds is not None:
            self._schedule(path, file, seconds)
        self._wake.set()


def _look_at(spec: str | None, others: list[Path]) -> tuple[dict[Path, Stat | None], Place | None, float]:
    """Return the stats of the files that the setting names and of others, the folder to watch, and the processor's
    seconds that this took.
    """
    begun = time.thread_time()
    found: dict[Path, Stat | None] = dict(looked_at(spec)) if spec is not None else {}
    found |= {path: stat_or_none(path) for path in others if path not in found}
    place = None
    if spec is not None:
        folder, below = folder_of(spec)
        with suppress(OSError):
            place = Place(folder, below, folder.stat().st_ino)
    return found, place, time.thread_time() - begun
