"""The running parts that the routes use."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

from daybook.api.shared_answers import SharedAnswers
from daybook.domain.source import Source
from daybook.errors import DaybookError, RecoveringError
from daybook.runtime.waits import Wait
from daybook.stores.stores import Stores

_CHECK_SECONDS = 2.0
OK = "ok"


@dataclass
class Services:
    """The stores and the state of the background work."""

    stores: Stores
    waiting_for: Callable[[], str]
    """Returns the reason why the lane does not work. Redis and the archive may disagree until it is empty."""
    worker_problems: Callable[[], dict[str, str]]
    """Returns the problems of the background work, by task name."""
    waits: Callable[[], dict[str, Wait]]
    """Returns the waits of the background work, by name."""
    import_problems: Callable[[], dict[str, str]]
    """Returns the reasons why files cannot be imported, by path."""
    revert: Callable[[str, str, str], Awaitable[Source]]
    """Reverts a source: takes its id, who asks and why; returns the source, reverted or about to be."""
    held: Callable[[], dict[str, str]] = dict
    """Returns the reasons why sources are held, by path."""
    answers: SharedAnswers = field(init=False)

    def __post_init__(self) -> None:
        self.answers = SharedAnswers(self.stores, self.waiting_for)

    def check_recovered(self) -> None:
        """Raise RecoveringError while Redis and the archive may disagree."""
        if reason := self.waiting_for():
            raise RecoveringError(reason)

    async def checks(self) -> dict[str, str]:
        """Return `ok` or the problem, by name: each store, and `workers` or the tasks that have a problem."""
        redis, archive = await asyncio.gather(_check(self._redis), _check(self._archive))
        found = {"redis": redis, self.stores.archive.name.lower(): archive}
        return found | (self.worker_problems() or {"workers": OK})

    async def _redis(self) -> str:
        if await self.stores.hot.state() is None:
            return "state is not restored yet"
        await self.stores.hot.check_damaged()
        return OK

    async def _archive(self) -> str:
        await self.stores.archive.check()
        return OK


async def _check(store: Callable[[], Coroutine[None, None, str]]) -> str:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            return await store()
    except TimeoutError:
        return "does not answer in time"
    except DaybookError as error:
        return str(error)
