"""Watches the named tasks of a service: restarts a task that dies, and stops all in time."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from daybook.errors import ConfigurationError
from daybook.runtime.loop import Backoff
from daybook.runtime.stop import StopToken, end

log = structlog.get_logger("supervisor")

Work = Callable[[StopToken], Awaitable[None]]


class Supervisor:
    """Keeps tasks running. A task that ends before the stop is logged, counts as down, and starts again after a pause.

    A ConfigurationError does not go away by another try. It sets the stop token and is kept in `fatal`.
    """

    def __init__(self, stop: StopToken) -> None:
        self.stop = stop
        self.fatal: ConfigurationError | None = None
        """The first ConfigurationError of a task."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._down: dict[str, str] = {}

    def start(self, name: str, work: Work) -> None:
        """Start a task and keep it running until the stop."""
        self._tasks[name] = asyncio.create_task(self._keep(name, work), name=name)

    @property
    def down(self) -> dict[str, str]:
        """The reasons why tasks are not running now, by task name."""
        return dict(self._down)

    async def shut_down(self, graceful_seconds: float) -> bool:
        """Ask all tasks to stop, wait at most `graceful_seconds`, then cancel the rest.

        Returns False when a task had to be cancelled.
        """
        self.stop.set()
        pending = {task for task in self._tasks.values() if not task.done()}
        if pending:
            _, pending = await asyncio.wait(pending, timeout=graceful_seconds)
        for task in pending:
            log.warning("the task did not stop in time and is cancelled", task=task.get_name())
        await end(list(self._tasks.values()))
        return not pending

    async def _keep(self, name: str, work: Work) -> None:
        backoff = Backoff(0.2, 10.0)
        while not self.stop.is_set():
            self._down.pop(name, None)
            try:
                await work(self.stop)
                if self.stop.is_set():
                    return
                reason = "ended by itself"
            except ConfigurationError as error:
                self.fatal = self.fatal or error
                self.stop.set()
                return
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                log.exception("task died", task=name)
            self._down[name] = reason
            await self.stop.wait(backoff.seconds())
