"""The stop token. Every loop waits for it together with its work or its next turn."""

import asyncio
import time
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")
_CANCEL_AGAIN_SECONDS = 0.2


class StopToken:
    """The request to stop; set once, never cleared."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._asked_at = 0.0

    def set(self) -> None:
        """Ask for the stop and wake all that wait for it."""
        if not self._event.is_set():
            self._asked_at = time.monotonic()
        self._event.set()

    @property
    def seconds(self) -> float:
        """Seconds since the stop was asked for; 0 before."""
        return time.monotonic() - self._asked_at if self._event.is_set() else 0.0

    def is_set(self) -> bool:
        """Return True once the stop is asked for."""
        return self._event.is_set()

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait for the stop, at most `seconds`; return True as soon as it is asked for, False when the time is up."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True

    async def or_stop(self, work: Coroutine[Any, Any, Answer]) -> Answer | None:
        """Return the answer of `work`. When the stop comes first, cancel the work and return None."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            await end([working, stopping])


async def first_failure(*works: Coroutine[Any, Any, None]) -> None:
    """Run coroutines together. The first exception cancels the others and is raised as it is."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error
    finally:
        await end(tasks)


async def end(tasks: Collection["asyncio.Future[Any]"]) -> None:
    """Cancel tasks until all have ended; ignore what they raise.

    One cancellation is not enough: `asyncio.wait_for` of Python 3.11, which redis-py uses, can swallow it.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
