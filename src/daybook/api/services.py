"""The running parts that the routes use."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from daybook.api.shared_answers import SharedAnswers
from daybook.errors import DaybookError, RecoveringError
from daybook.stores.stores import Stores

_CHECK_SECONDS = 2.0
OK = "ok"


@dataclass
class Services:
    stores: Stores
    waiting_for: Callable[[], str]
    """Names what keeps the lane from working: till it is empty the stores may not fit together."""
    worker_problems: Callable[[], dict[str, str]]
    """Problems of the background work by its name; empty when all is well."""
    import_problems: Callable[[], dict[str, str]]
    """Files that cannot be imported at all, and why."""
    answers: SharedAnswers = field(init=False)

    def __post_init__(self) -> None:
        self.answers = SharedAnswers(self.stores, self.waiting_for)

    def check_recovered(self) -> None:
        """Raise RecoveringError while the stores may not fit together."""
        if reason := self.waiting_for():
            raise RecoveringError(reason)

    async def checks(self) -> dict[str, str]:
        """Return `ok` or the problem of each store and of the workers."""
        redis, archive = await asyncio.gather(_check(self._redis), _check(self._archive))
        found = {"redis": redis, self.stores.archive.name.lower(): archive}
        return found | (self.worker_problems() or {"workers": OK})

    async def _redis(self) -> str:
        return OK if await self.stores.hot.state() else "state is not restored yet"

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
