"""`daybook import`: importers for the named files, and the lane if nobody else has it."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from daybook import lifespan, logs
from daybook.cli.asking import Choice, ask
from daybook.cli.ending import Interruption
from daybook.cli.exits import Exit
from daybook.cli.outcomes import OpenRejects, Outcome, open_rejects, report
from daybook.cli.progress import ImportProgress
from daybook.cli.reverting import replace, tell_replaced
from daybook.cli.waiting import Doctor, Waits, opening, telling
from daybook.domain.source import Source
from daybook.errors import DaybookError, StoreUnavailableError
from daybook.importing.context import BLOCK_BYTES, ImportContext
from daybook.importing.import_manager import ImportManager
from daybook.importing.importer import ANOTHER_IMPORTER, Importer
from daybook.lane.lane import Lane
from daybook.lifespan import OpenStores
from daybook.runtime.stop import StopToken
from daybook.runtime.supervisor import Supervisor
from daybook.settings import Settings
from daybook.sources.files import locate
from daybook.stores.source_registry import SourceRegistry

_LOOK_SECONDS = 0.1
_STILL_SECONDS = 1.0


@dataclass
class _File:
    """A file to import; what is known of it outlives the importers that worked on it."""

    path: Path
    source: Source | None = None
    problem: str = ""
    has_queued: bool = False
    rejects: OpenRejects = field(default_factory=OpenRejects)
    is_seen: bool = False
    """True when Redis knew the source at the last look."""
    told: bool = False
    """True once the user was told that another importer reads it."""
    importers: list[Importer] = field(default_factory=list)
    """The importer of `path`; after it the one of its source's path, if that is another path: it goes on when the
    importer there ends.
    """


async def import_all(
    settings: Settings,
    files: Sequence[Path],
    *,
    complete: bool,
    anyway: bool = False,
    told: Mapping[str, object] | None = None,
) -> int:
    """Import the files, wait until all their rows are applied and print the outcome; return the exit code.

    A file that looks imported before, or has mostly bad rows, is held; on a terminal the user is asked what to do.
    With `anyway` it is imported. `told` is what the options tell of the files (`sources/profile.py`).

    Raises SourceError when a name leads to no file, and ConfigurationError when the import must not start or go on.
    """
    paths = [path for file in files for path in locate(str(file))]
    lifespan.profiles_of(settings, told or {})
    logs.configure(quiet=True)
    interruption, waits = Interruption(settings), Waits()
    wanted = [_File(path) for path in dict.fromkeys(paths)]
    if settings.on_overlap == "auto":
        settings = settings.model_copy(update={"on_overlap": "hold"})
    goes_on = False

    async def run(some: Sequence[_File], *, anyway: bool) -> bool:
        nonlocal goes_on
        finished = False
        async with telling(waits):
            with ImportProgress(waits, [file.path for file in some]) as display:
                while not finished and not interruption.is_set():
                    turn = _Turn(settings, some, display, waits, complete=complete, anyway=anyway, told=told or {})
                    finished = await turn.run(interruption)
                    goes_on = turn.goes_on
        return finished

    finished = await run(wanted, anyway=anyway)
    choices = {file.path: await _choose(file, interruption) for file in wanted}
    if again := [file for file in wanted if choices[file.path] is Choice.ANYWAY]:
        finished &= await run(again, anyway=True)
    replacing = [file for file in wanted if choices[file.path] is Choice.REPLACE]
    for file in replacing:
        await _replace(settings, file, complete=complete, told=told or {})
    others = [file for file in wanted if file not in replacing]
    code = report(_outcome(file, finished=finished, goes_on=goes_on) for file in others)
    return code if finished else interruption.exit_code or Exit.FAILED


def _outcome(file: _File, *, finished: bool, goes_on: bool) -> Outcome:
    interrupted = not finished and not (file.importers and _is_settled(file))
    return Outcome(file.path, file.source, file.problem, file.has_queued, file.rejects, interrupted, goes_on)


async def _choose(file: _File, interruption: Interruption) -> Choice:
    return await ask(file.path, file.source, interruption) if file.source is not None else Choice.LEAVE


async def _replace(settings: Settings, file: _File, *, complete: bool, told: Mapping[str, object]) -> None:
    assert file.source is not None
    assert file.source.held is not None
    like = file.source.held.like
    why = "answered at the prompt"
    tell_replaced(await replace(settings, like, file.path, "", why, complete=complete, told=told))


class _Turn:
    """The import with one server, until all is done, the command is interrupted, or the server's owner has ended."""

    def __init__(
        self,
        settings: Settings,
        files: Sequence[_File],
        display: ImportProgress,
        waits: Waits,
        *,
        complete: bool,
        anyway: bool,
        told: Mapping[str, object],
    ) -> None:
        self._settings, self._files, self._complete, self._anyway = settings, files, complete, anyway
        self._told = told
        self._display, self._waits = display, waits
        self._supervisor = Supervisor(StopToken())
        self.goes_on = False
        """True when a service goes on with the files after an interruption."""
        self._moved_at, self._places = 0.0, [(-1, -1)]

    async def run(self, interruption: Interruption) -> bool:
        """Return True when every row of every file is applied."""
        async with AsyncExitStack() as stack:
            self._waits.on(opening(self._settings))
            opened = lifespan.open_stores(self._settings, "daybook import", share=True)
            stores = await interruption.or_stop(stack.enter_async_context(opened))
            if stores is None:
                return False
            self._waits.on("")
            context = await stack.enter_async_context(
                lifespan.importing(
                    self._settings, stores, complete=self._complete, again=True, anyway=self._anyway, told=self._told
                )
            )
            lane = self._start(stores, context)
            finished = await self._watch(stores, lane, interruption)
            grace = self._settings.graceful_shutdown_seconds if finished else interruption.grace_seconds
            await self._supervisor.shut_down(grace)
            if finished:
                for file in self._files:
                    file.rejects = await interruption.or_stop(open_rejects(stores, file.source)) or file.rejects
            else:
                await self._look(SourceRegistry(stores.probe))
                self.goes_on = await lifespan.lane_owner(stores) == lifespan.SERVE
            if self._supervisor.fatal is not None:
                raise self._supervisor.fatal
            return finished

    def _start(self, stores: OpenStores, context: ImportContext) -> Lane | None:
        supervisor, settings, lane = self._supervisor, self._settings, None
        if sum(file.path.stat().st_size for file in self._files if file.path.exists()) > BLOCK_BYTES:
            context.pool.start()
        if stores.valkey is not None:
            supervisor.start("embedded server", lifespan.keep_running(stores.valkey))
        if stores.shared is None:
            lane = lifespan.make_lane(settings, stores)
            supervisor.start("lane", lane.run)
        else:
            supervisor.start("owner", lambda stop: self._leave_when_orphaned(stores, stop))
        self._manager = ImportManager(None, context, interrupted=False)
        for file in self._files:
            file.importers = [self._manager.add(file.path)]
        supervisor.start("importer", self._manager.run)
        return lane

    async def _leave_when_orphaned(self, stores: OpenStores, stop: StopToken) -> None:
        if await lifespan.owner_ended(self._settings.data_dir, stores, stop):
            stop.set()

    async def _watch(self, stores: OpenStores, lane: Lane | None, interruption: Interruption) -> bool:
        """Draw the progress until all is applied (True), or until there is a reason to leave (False)."""
        sources, doctor, stop = SourceRegistry(stores.probe), Doctor(stores), self._supervisor.stop
        try:
            while not stop.is_set() and not interruption.is_set():
                problem = await interruption.or_stop(self._look(sources))
                if not problem and all(map(_is_settled, self._files)):
                    return True
                for file in self._files:
                    self._tell_of_another(file)
                reason = problem or await interruption.or_stop(self._reason(stores, doctor, lane))
                self._waits.on(reason or "", self._moved_at)
                await interruption.wait(_LOOK_SECONDS)
            return False
        finally:
            await doctor.close()

    async def _look(self, sources: SourceRegistry) -> str:
        """Read each file's source from Redis and draw its progress; return why Redis does not answer, else empty."""
        known = {id_ for file in self._files if (id_ := file.importers[0].source_id) is not None}
        try:
            found = {source.id: source for source in await sources.some(known)}
        except StoreUnavailableError as error:
            return f"Redis: {error}"
        for file in self._files:
            own = file.importers[0]
            file.has_queued |= any(importer.has_queued for importer in file.importers)
            if own.source_id is not None:
                now = found.get(own.source_id)
                file.source, file.is_seen = now or file.source, now is not None
            file.problem = own.problem or (file.source.problem if file.source else "")
            if file.source is not None:
                self._display.draw(file.path, file.source)
        return ""

    def _tell_of_another(self, file: _File) -> None:
        """Say once that another importer reads the file's source, and stand by to go on when it ends."""
        source = file.source
        if source is None or source.held is not None or source.read.offset >= source.size:
            return
        elsewhere = source.path != str(file.path)
        if elsewhere and source.path in {str(each.path) for each in self._files}:
            return
        if not elsewhere and file.importers[0].waits_for != ANOTHER_IMPORTER:
            return
        if not file.told:
            file.told = True
            self._display.console.print(
                logs.printable(
                    f"{file.path}: being imported by another importer from {source.path} (source {source.id}): "
                    "waiting for it"
                ),
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        if elsewhere and len(file.importers) == 1:
            file.importers.append(self._manager.add(Path(source.path), steal=False))

    async def _reason(self, stores: OpenStores, doctor: Doctor, lane: Lane | None) -> str:
        """Return why the import does not move, as text for people; empty while it moves or when no reason is known."""
        now = time.monotonic()
        places = [
            (each.source.read.offset, each.source.applied.offset) if each.source else (0, 0) for each in self._files
        ]
        if places != self._places:
            self._moved_at, self._places = now, places
        if now - self._moved_at < _STILL_SECONDS:
            return ""
        if problem := await doctor.store_problem():
            return problem
        if lane is not None and lane.waiting_for:
            return lane.waiting_for.removeprefix("waiting for ")
        try:
            if not await lifespan.has_lane(stores):
                return "a process that applies the queued rows: nobody holds the lane"
            if waiting := await stores.queue.length():
                return f"the lane: {waiting} elements of the queue are not applied yet"
        except DaybookError as error:
            return str(error)
        down = [f"{name}: {problem}" for name, problem in self._supervisor.down.items()]
        reasons = [
            f"{each.waits_for.removeprefix('waiting for ')}: {each.path}"
            for file in self._files
            for each in file.importers
            if each.waits_for
        ]
        return next(iter(down + reasons), "")


def _is_settled(file: _File) -> bool:
    """Return whether all that can be read of the file is applied; another process may have read it."""
    own, source = file.importers[0], file.source
    if not own.at_end.is_set():
        return False
    if source is None:
        return own.source_id is None
    if not file.is_seen:
        return False
    read = source.read.offset >= source.size or bool(file.problem) or source.held is not None
    return read and source.applied.offset == source.read.offset
