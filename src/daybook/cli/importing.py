"""`daybook import`: runs importers for the named files, and the lane when no other process holds it."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from daybook import lifespan, logs
from daybook.domain.source import Source
from daybook.errors import StoreUnavailableError
from daybook.importing.import_manager import ImportManager
from daybook.importing.importer import BLOCK_BYTES, Importer
from daybook.runtime.stop import StopToken
from daybook.runtime.supervisor import Supervisor
from daybook.settings import Settings
from daybook.sources.files import locate
from daybook.stores.stores import Stores

_LOOK_SECONDS = 0.1
_COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    TextColumn("{task.percentage:>3.0f}%"),
    TextColumn("{task.fields[rows]:,} rows  {task.fields[rate]:,.0f} rows/s  {task.fields[rejected]:,} rejected"),
    TimeElapsedColumn(),
    TimeRemainingColumn(),
)


async def import_all(settings: Settings, files: Sequence[Path], *, complete: bool) -> bool:
    """Import the files and wait until all their rows are applied; return False when something was not imported.

    Raises ConfigurationError for bad settings, SourceError for a file that does not exist.
    """
    paths = [path for file in files for path in locate(str(file))]
    logs.configure(quiet=True)
    stop = StopToken()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    supervisor = Supervisor(stop)
    async with (
        lifespan.open_stores(settings, "daybook import", share=True) as stores,
        lifespan.importing(settings, stores, complete=complete) as context,
    ):
        if sum(path.stat().st_size for path in paths) > BLOCK_BYTES:
            context.pool.start()
        manager = ImportManager(None, context, interrupted=False)
        importers = {path: manager.add(path) for path in paths}
        if stores.alone or not settings.embedded_redis:
            supervisor.start("lane", lifespan.make_lane(settings, stores).run)
        supervisor.start("importer", manager.run)
        finished = await _show(importers, stores, stop)
        await supervisor.shut_down(settings.graceful_shutdown_seconds)
        if supervisor.fatal is not None:
            raise supervisor.fatal
        return await _report(importers, stores) and finished


async def _show(importers: Mapping[Path, Importer], stores: Stores, stop: StopToken) -> bool:
    """Draw the progress until every file is read to its end and applied; return False when stopped before."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with Progress(*_COLUMNS, console=Console(stderr=True)) as progress:
        tasks = {path: progress.add_task(path.name, total=None, rows=0, rate=0.0, rejected=0) for path in importers}
        first_rows: dict[Path, int] = {}
        while not stop.is_set():
            done = []
            for path, importer in importers.items():
                source = await _source(importer, stores)
                if source is not None:
                    rows = source.applied.rows
                    rate = (rows - first_rows.setdefault(path, rows)) / max(loop.time() - begun, 0.001)
                    _draw(progress, tasks[path], source, rate)
                done.append(importer.at_end.is_set() and _is_settled(source, importer))
            if all(done):
                return True
            await stop.wait(_LOOK_SECONDS)
    return False


def _is_settled(source: Source | None, importer: Importer) -> bool:
    """Return True when all rows that can be read are applied. Another process may be reading the file."""
    if source is None:
        return importer.source_id is None
    read = source.read.offset >= source.size or bool(source.problem or importer.problem)
    return read and source.applied.offset == source.read.offset


def _draw(progress: Progress, task: TaskID, source: Source, rate: float) -> None:
    progress.update(
        task,
        total=source.size or None,
        completed=source.applied.offset,
        rows=source.applied.rows,
        rate=rate,
        rejected=source.applied.rejected + source.refused.rows,
    )


async def _source(importer: Importer, stores: Stores) -> Source | None:
    if importer.source_id is None:
        return None
    try:
        return await stores.sources.get(importer.source_id)
    except StoreUnavailableError:
        return None


async def _report(importers: Mapping[Path, Importer], stores: Stores) -> bool:
    """Print one line per file, and its problem if it has one; return False when a file has a problem."""
    console = Console(highlight=False, soft_wrap=True)
    good = True
    for path, importer in importers.items():
        source = await _source(importer, stores)
        problem = importer.problem or (source.problem if source else "")
        if source is not None:
            word = "already imported" if importer.already_imported else "imported"
            console.print(
                f"{path}: {word}: {source.read.rows} rows = {source.applied_rows} applied + "
                f"{source.rejected_rows} rejected + {source.waiting} waiting",
                markup=False,
            )
        elif not problem:
            problem = "nothing to import: the file holds no rows yet"
        if problem:
            good = False
            console.print(f"{path}: {problem.removeprefix(f'{path}: ')}", markup=False)
    return good
