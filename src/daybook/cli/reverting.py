"""`daybook sources revert` and `daybook import --replace`."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from getpass import getuser
from pathlib import Path

from daybook import lifespan, logs
from daybook.books.source_list import find_source
from daybook.cli.ending import Interruption
from daybook.cli.waiting import Waits, opening, telling
from daybook.domain.source import Source
from daybook.errors import StoreUnavailableError
from daybook.importing.context import ImportContext
from daybook.importing.reverting import Request
from daybook.lifespan import OpenStores
from daybook.logs import printable
from daybook.runtime.supervisor import Supervisor
from daybook.settings import Settings

_LOOK_SECONDS = 0.25
_INTERRUPTED = 130


def tell_reverted(source: Source | None) -> None:
    """Say what was taken back. Exits with 130 when nothing is known because a stop signal came."""
    if source is None or source.reverted is None:
        raise SystemExit(_INTERRUPTED)
    reversal = source.reverted
    totals = ", ".join(f"{kind} {total}" for kind, total in reversal.control_totals.items())
    _say(
        f"{source.shown_path}: source {source.id} is reverted: {reversal.position.rows:,} rows, {totals} "
        f"(by {reversal.by}, {reversal.at}: {reversal.why})"
    )


def tell_replaced(source: Source | None) -> None:
    """Say what took the place of what. Exits with 130 when nothing is known because a stop signal came."""
    if source is None:
        raise SystemExit(_INTERRUPTED)
    totals = ", ".join(f"{kind} {total}" for kind, total in source.control_totals.items())
    _say(
        f"{source.shown_path}: source {source.id} replaces source {source.replaces}: {source.applied_rows:,} rows "
        f"applied, {source.rejected_rows:,} rejected, {totals}"
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{printable(text)}\n")


async def revert(settings: Settings, name: str, by: str, why: str) -> Source | None:
    """Revert a source and wait until it is done; return the source, None after a stop signal.

    Raises UnknownSourceError and ReversalError.
    """
    interruption = Interruption(settings)
    async with _working(settings, "daybook sources revert", interruption) as (stores, _):
        return await interruption.or_stop(_revert(stores, name, by, why))


async def _revert(stores: OpenStores, name: str, by: str, why: str) -> Source:
    reverter = lifespan.reverter(stores)
    source = await reverter.revert(Request(await _id_of(stores, name), by or getuser(), why))
    return await reverter.wait(source.id)


async def replace(
    settings: Settings, name: str, file: Path, by: str, why: str, *, complete: bool, told: Mapping[str, object]
) -> Source | None:
    """Put a file in the place of a source, in one step, and wait until it is done; return the file's source.

    `told` is what the options tell of the file (`sources/profile.py`). Returns None after a stop signal.
    Raises SourceError, UnknownSourceError and ReversalError.
    """
    interruption = Interruption(settings)
    async with _working(settings, "daybook import", interruption, complete=complete, told=told) as (stores, context):
        return await interruption.or_stop(_replace(stores, context, name, file, by, why))


async def _replace(
    stores: OpenStores, context: ImportContext, name: str, file: Path, by: str, why: str
) -> Source | None:
    reverter, replaced = lifespan.reverter(stores), await _id_of(stores, name)
    source = await reverter.replace(Request(replaced, by or getuser(), why), _absolute(file), context)
    await reverter.wait(replaced)
    return await stores.sources.get(source.id)


async def _id_of(stores: OpenStores, name: str) -> str:
    """Return the id of the source that `name` names, as `daybook sources` does. Raises UnknownSourceError."""
    return find_source(await stores.sources.all(), name).id


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


@asynccontextmanager
async def _working(
    settings: Settings,
    purpose: str,
    interruption: Interruption,
    *,
    complete: bool = False,
    told: Mapping[str, object] | None = None,
) -> AsyncIterator[tuple[OpenStores, ImportContext]]:
    """Open the stores for work on sources, with the lane unless another process has it; tell what is waited for."""
    logs.configure(quiet=True)
    waits = Waits()
    async with telling(waits), AsyncExitStack() as stack:
        waits.on(opening(settings))
        stores = await stack.enter_async_context(lifespan.open_stores(settings, purpose, share=True))
        context = await stack.enter_async_context(lifespan.importing(settings, stores, complete=complete, told=told))
        supervisor = Supervisor(interruption)
        if stores.valkey is not None:
            supervisor.start("embedded server", lifespan.keep_running(stores.valkey))
        if stores.shared is None:
            supervisor.start("lane", lifespan.make_lane(settings, stores).run)
        try:
            await _until_restored(stores, waits, interruption)
            yield stores, context
        finally:
            await supervisor.shut_down(settings.graceful_shutdown_seconds)
            if supervisor.fatal is not None:
                raise supervisor.fatal


async def _until_restored(stores: OpenStores, waits: Waits, interruption: Interruption) -> None:
    while not interruption.is_set():
        try:
            await stores.sources.version()
        except StoreUnavailableError as error:
            waits.on(str(error))
            await interruption.wait(_LOOK_SECONDS)
        else:
            waits.on("")
            return
