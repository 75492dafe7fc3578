"""Imports the files that the setting names, and the files whose import was interrupted."""

import asyncio
from pathlib import Path

import structlog

from daybook.errors import SourceError, StoreUnavailableError
from daybook.importing.importer import ImportContext, Importer
from daybook.runtime.stop import StopToken, end
from daybook.sources.files import locate

log = structlog.get_logger("importer")

_LOOK_SECONDS = 1.0


class ImportManager:
    """Runs one importer per file. It finds new files of a folder or a glob while it runs."""

    def __init__(self, spec: str | None, context: ImportContext) -> None:
        """Take `spec`: the value of `CsvFilePath`, None when it is not set."""
        self._spec = spec
        self._context = context
        self._running: dict[Path, asyncio.Task[None]] = {}
        self.importers: dict[Path, Importer] = {}
        self._sources_version = -1
        self._first_look = True
        self.problem = ""
        """Problem of the setting itself, as text for people; empty when there is none."""

    async def run(self, stop: StopToken) -> None:
        """Start importers until the stop, then wait until they end. Raises what an importer raises."""
        try:
            while not stop.is_set():
                for path in await self._wanted():
                    self._start(path, stop)
                self._first_look = self._sources_version < 0
                self._raise_failures()
                await stop.wait(_LOOK_SECONDS)
            await asyncio.gather(*self._running.values())
        finally:
            await end(list(self._running.values()))

    async def _wanted(self) -> list[Path]:
        return [*await self._named(), *await self._interrupted()]

    async def _named(self) -> list[Path]:
        if self._spec is None:
            return []
        try:
            found = await asyncio.to_thread(locate, self._spec)
        except (SourceError, OSError) as error:
            if self.problem != str(error):
                self.problem = str(error)
                log.error(self.problem)  # noqa: TRY400 - the message says all, a traceback adds nothing
            return []
        self.problem = ""
        return found

    async def _interrupted(self) -> list[Path]:
        sources = self._context.stores.sources
        try:
            if await sources.version() == self._sources_version:
                return []
            known = await sources.known()
        except StoreUnavailableError:
            return []
        self._sources_version = known.version
        return [Path(source.path) for source in known.sources if source.path and source.read.offset < source.size]

    def problems(self) -> dict[str, str]:
        """Return the reasons why files without a source, or the setting `CsvFilePath`, cannot be imported, by name."""
        found = {
            str(path): importer.problem
            for path, importer in self.importers.items()
            if importer.problem and importer.source_id is None
        }
        return found | ({"CsvFilePath": self.problem} if self.problem else {})

    def _start(self, path: Path, stop: StopToken) -> None:
        if path not in self.importers:
            steal = self._first_look and self._context.options.alone
            self.importers[path] = Importer(path, self._context, steal=steal)
            self._running[path] = asyncio.create_task(self.importers[path].run(stop), name=f"import {path}")

    def _raise_failures(self) -> None:
        for path, task in list(self._running.items()):
            if task.done() and not task.cancelled() and (error := task.exception()):
                del self._running[path], self.importers[path]
                raise error
