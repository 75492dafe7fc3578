"""Tells on standard error what a command waits for, once for each reason."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from daybook import logs
from daybook.errors import DaybookError
from daybook.lifespan import OpenStores, open_stores
from daybook.logs import printable
from daybook.runtime.check import SharedCheck
from daybook.runtime.stop import end
from daybook.settings import Settings

_PATIENCE_SECONDS = 2.0
_LOOK_SECONDS = 0.25
_ANSWER_SECONDS = 1.0


class Waits:
    """The present reason to wait, and its beginning. It is told once it has lasted 2 seconds."""

    def __init__(self) -> None:
        self._reason, self._told = "", ""
        self._since = 0.0
        self.shown = False
        """True when a display shows `text` itself; `tell` writes nothing then."""

    def on(self, reason: str, since: float | None = None) -> None:
        """Note what the command waits for: the same reason goes on, an empty one ends the wait.

        `since` is the time of `time.monotonic` at which a new reason began; None stands for now.
        """
        if reason != self._reason:
            self._reason, self._since = reason, time.monotonic() if since is None else since
        if not reason:
            self._told = ""

    @property
    def text(self) -> str:
        """The line for people; empty until the reason has lasted 2 seconds."""
        seconds = time.monotonic() - self._since
        return f"waiting for {printable(self._reason)}, since {seconds:.0f} s" if self._lasts(seconds) else ""

    def _lasts(self, seconds: float) -> bool:
        return bool(self._reason) and seconds >= _PATIENCE_SECONDS

    async def tell(self) -> None:
        """Write the line of each reason that has lasted, once. Runs until it is cancelled."""
        while True:
            if not self.shown and self._reason != self._told and (text := self.text):
                self._told = self._reason
                sys.stderr.write(f"daybook: {text}\n")
                sys.stderr.flush()
            await asyncio.sleep(_LOOK_SECONDS)


@asynccontextmanager
async def telling(waits: Waits) -> AsyncIterator[None]:
    """Tell the waits while the body runs."""
    task = asyncio.ensure_future(waits.tell())
    try:
        yield
    finally:
        await end([task])


class Doctor:
    """Asks the stores whether they answer. A question takes about a second at most."""

    def __init__(self, stores: OpenStores) -> None:
        self._stores = stores
        self._archive = SharedCheck(stores.archive.check, _ANSWER_SECONDS)

    async def store_problem(self) -> str:
        """Return the store that does not answer, and why, as text for people; empty when both answer."""
        try:
            await self._stores.probe.command("PING")
        except DaybookError as error:
            return f"Redis: {error}"
        if problem := await self._archive.problem():
            return f"the {self._stores.archive.name} archive: {problem}"
        return ""

    async def close(self) -> None:
        await self._archive.close()


@asynccontextmanager
async def stores_to_read(settings: Settings, purpose: str, waits: Waits | None = None) -> AsyncIterator[OpenStores]:
    """Open the stores for a command that only reads, and tell meanwhile what the command waits for."""
    logs.configure(quiet=True)
    waits = waits or Waits()
    async with telling(waits):
        waits.on(opening(settings))
        async with open_stores(settings, purpose, share=True) as stores:
            waits.on("")
            watching = asyncio.ensure_future(_watch(stores, waits))
            try:
                yield stores
            finally:
                await end([watching])


def opening(settings: Settings) -> str:
    """Return the thing that the opening of the stores may wait for, as text for people."""
    return f"the embedded server of DataDir {settings.data_dir}"


async def _watch(stores: OpenStores, waits: Waits) -> None:
    doctor = Doctor(stores)
    try:
        while True:
            asked_at = time.monotonic()
            waits.on(await doctor.store_problem(), asked_at)
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        await doctor.close()
