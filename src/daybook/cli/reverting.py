"""`daybook sources revert` and `daybook import --replace`."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from getpass import getuser
from pathlib import Path
from typing import Any

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
from daybook.runtime.stop import StopToken, end
from daybook.runtime.supervisor import Supervisor
from daybook.settings import Settings

_LOOK_SECONDS = 0.25
_INTERRUPTED = 130
_WAIT = "the reversal: it needs the source's lease, all its queued rows applied, and a lane at work"


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

    async def work(stores: OpenStores, _: ImportContext) -> Source:
        return await _revert(stores, name, by, why)

    return await _in_turns(settings, "daybook sources revert", work)


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

    async def work(stores: OpenStores, context: ImportContext) -> Source | None:
        return await _replace(stores, context, name, file, by, why)

    return await _in_turns(settings, "daybook import", work, complete=complete, told=told)


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


async def _in_turns(
    settings: Settings,
    purpose: str,
    work: Callable[[OpenStores, ImportContext], Coroutine[Any, Any, Source | None]],
    *,
    complete: bool = False,
    told: Mapping[str, object] | None = None,
) -> Source | None:
    """Return the answer of `work`, None after a stop signal.

    It begins again, with a server and a lane of this process, when the owner of a shared embedded server ends.
    """
    interruption = Interruption(settings)
    while not interruption.is_set():
        async with (
            _working(settings, purpose, interruption, complete=complete, told=told) as (stores, context, failed),
            _leaving(settings, stores, interruption, failed) as leaving,
        ):
            done = await leaving.or_stop(work(stores, context))
        if done is not None:
            return done
    return None


@asynccontextmanager
async def _leaving(
    settings: Settings, stores: OpenStores, interruption: Interruption, failed: StopToken
) -> AsyncIterator[StopToken]:
    """Yield a token that is set at the stop signal, or when the owner of the shared embedded server has ended.

    `failed` sets it, too.
    """
    leaving = StopToken()

    async def watch() -> None:
        if stores.shared is None:
            await failed.or_stop(interruption.wait())
        else:
            await interruption.or_stop(lifespan.owner_ended(settings.data_dir, stores, leaving))
        leaving.set()

    watching = asyncio.create_task(watch())
    try:
        yield leaving
    finally:
        await end([watching])


@asynccontextmanager
async def _working(
    settings: Settings,
    purpose: str,
    interruption: Interruption,
    *,
    complete: bool = False,
    told: Mapping[str, object] | None = None,
) -> AsyncIterator[tuple[OpenStores, ImportContext, StopToken]]:
    """Open the stores for work on sources, with the lane unless another process has it; tell what is waited for.

    The token is set when the lane cannot work.
    """
    logs.configure(quiet=True)
    waits = Waits()
    async with telling(waits), AsyncExitStack() as stack:
        waits.on(opening(settings))
        stores = await stack.enter_async_context(lifespan.open_stores(settings, purpose, share=True))
        context = await stack.enter_async_context(lifespan.importing(settings, stores, complete=complete, told=told))
        supervisor = Supervisor(StopToken())
        if stores.valkey is not None:
            supervisor.start("embedded server", lifespan.keep_running(stores.valkey))
        if stores.shared is None:
            supervisor.start("lane", lifespan.make_lane(settings, stores).run)
        try:
            await _until_restored(stores, waits, interruption)
            waits.on(_WAIT)
            yield stores, context, supervisor.stop
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
