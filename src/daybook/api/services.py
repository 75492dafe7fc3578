"""The running parts that the routes use."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from daybook.api.shared_answers import SharedAnswers
from daybook.domain.source import Source
from daybook.errors import RecoveringError
from daybook.runtime.check import SharedCheck
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
    compare_soon: Callable[[], None] = lambda: None
    """Has the importers look at the list of sources without delay."""
    currency: str = ""
    """Code of the currency of all amounts; empty when none is set."""
    answers: SharedAnswers = field(init=False)
    """The answers that need both stores to agree."""
    progress: SharedAnswers = field(init=False)
    """The answers that are given while the lane waits, too."""

    def __post_init__(self) -> None:
        self.answers = SharedAnswers(self.stores, self.waiting_for)
        self.progress = SharedAnswers(self.stores, lambda: "")
        self._checks = [SharedCheck(check, _CHECK_SECONDS) for check in (self._redis, self.stores.archive.check)]

    def check_recovered(self) -> None:
        """Raise RecoveringError while Redis and the archive may disagree."""
        if reason := self.waiting_for():
            raise RecoveringError(reason)

    async def checks(self) -> dict[str, str]:
        """Return `ok` or the problem, by name: each store, and `workers` or the tasks that have a problem."""
        names = ("redis", self.stores.archive.name.lower())
        problems = await asyncio.gather(*(check.problem() for check in self._checks))
        found = {name: problem or OK for name, problem in zip(names, problems, strict=True)}
        return found | (self.worker_problems() or {"workers": OK})

    async def close(self) -> None:
        """End the answers and the checks that are in the making."""
        await self.answers.close()
        await self.progress.close()
        await asyncio.gather(*(check.close() for check in self._checks))

    async def _redis(self) -> None:
        await self.stores.hot.restored_state()
        await self.stores.redis.check_foreign()
        await self.stores.hot.check_damaged()
