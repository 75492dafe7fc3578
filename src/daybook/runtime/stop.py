"""The stop token: every loop waits for work, for a tick or for this, whichever comes first."""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")
_CANCEL_AGAIN_SECONDS = 0.2


class StopToken:
    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self, seconds: float | None = None) -> bool:
        """Sleep at most `seconds`; True as soon as the stop is asked for."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True

    async def or_stop(self, work: Coroutine[Any, Any, Answer]) -> Answer | None:
        """The work's answer, or None when the stop comes first; then the work is cancelled."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            await end([working, stopping])


async def first_failure(*works: Coroutine[Any, Any, None]) -> None:
    """Run coroutines together; the first exception cancels the others and is raised as it is."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error
    finally:
        await end(tasks)


async def end(tasks: Collection["asyncio.Future[Any]"]) -> None:
    """Cancel tasks until they have ended, whatever they raise.

    Once is not enough: `asyncio.wait_for` of Python 3.11, which redis-py uses, can swallow a cancellation.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
