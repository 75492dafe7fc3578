"""A check of a store that may hang."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from daybook.errors import DaybookError
from daybook.runtime.stop import end


class SharedCheck:
    """Runs a check once at a time, for all who ask meanwhile, and waits a bounded time for it.

    A check that hangs is not cancelled, because its thread would go on: the next question waits for the same check.
    """

    def __init__(self, check: Callable[[], Coroutine[Any, Any, None]], seconds: float) -> None:
        """Take `check`, which raises DaybookError for a problem, and the `seconds` that one question waits for it."""
        self._check, self._seconds = check, seconds
        self._checking: asyncio.Task[str] | None = None

    async def problem(self) -> str:
        """Return the problem as text for people; empty when there is none."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._run())
        checking = self._checking
        await asyncio.wait([checking], timeout=self._seconds)
        return checking.result() if checking.done() else "does not answer in time"

    async def close(self) -> None:
        """End a check that still runs. A thread of it is waited for."""
        if self._checking is not None:
            await end([self._checking])

    async def _run(self) -> str:
        try:
            await self._check()
        except DaybookError as error:
            return str(error)
        return ""
