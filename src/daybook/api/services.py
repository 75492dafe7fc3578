"""What the routes are given."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from daybook.api.history import History
from daybook.api.reconciliation import Reconciliation
from daybook.api.rejects import Rejects
from daybook.api.schemas import ControlTotals, ImportsAnswer, ImportState, Readiness
from daybook.api.stats_answers import StatsAnswers
from daybook.domain.source import Source
from daybook.errors import DaybookError, RecoveringError, StoreUnavailableError
from daybook.stores.archive import Archive
from daybook.stores.hot_aggregates import HotAggregates
from daybook.stores.source_registry import SourceRegistry
from daybook.stores.transaction_queue import TransactionQueue

_CHECK_SECONDS = 2.0


@dataclass
class Services:
    """The running parts that answers are made from."""

    stats: StatsAnswers
    queue: TransactionQueue
    hot: HotAggregates
    registry: SourceRegistry
    archive: Archive
    waiting_for: Callable[[], str]
    """What keeps the lane from working: till it is empty the stores may not fit together."""
    worker_problems: Callable[[], dict[str, str]]
    """What the background work waits for or fails at, by its name; empty when all is well."""
    import_problems: Callable[[], dict[str, str]]
    """Files that cannot be imported at all, and why."""

    @property
    def history(self) -> History:
        return History(self.hot, self.archive)

    @property
    def rejects(self) -> Rejects:
        return Rejects(self.hot, self.archive, self.registry)

    @property
    def reconciliation(self) -> Reconciliation:
        return Reconciliation(self.hot, self.archive, self.registry, self.queue)

    def check_recovered(self) -> None:
        """Raises RecoveringError while the stores may not fit together."""
        if reason := self.waiting_for():
            raise RecoveringError(reason)

    async def readiness(self) -> Readiness:
        """Whether the stores answer and the workers live; every check in words."""
        redis, archive = await asyncio.gather(self._redis_check(), self._archive_check())
        checks = {"redis": redis, self.archive.name.lower(): archive, "workers": "ok"}
        if problems := self.worker_problems():
            del checks["workers"]
            checks |= problems
        return Readiness(ready=all(word == "ok" for word in checks.values()), checks=checks)

    async def _redis_check(self) -> str:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                return "ok" if await self.hot.state() else "state is not restored yet"
        except TimeoutError:
            return "does not answer in time"
        except StoreUnavailableError as error:
            return str(error)

    async def _archive_check(self) -> str:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self.archive.check()
        except TimeoutError:
            return "does not answer in time"
        except DaybookError as error:
            return str(error)
        return "ok"

    async def import_states(self) -> ImportsAnswer:
        known = (await self.registry.known()).sources
        queue = await self.registry.queue_source()
        return ImportsAnswer(
            imports=[import_state(source) for source in (*known, *([queue] if queue else ()))],
            problems=self.import_problems(),
        )


def import_state(source: Source) -> ImportState:
    return ImportState(
        source=source.id,
        path=source.shown_path,
        fingerprint=source.read.digest,
        size=source.size,
        read_bytes=source.read.offset,
        rows=source.read.rows,
        applied=source.applied_rows,
        rejected=source.rejected_rows,
        waiting=source.waiting,
        state=source.state,
        problem=source.problem,
        control_totals=ControlTotals(**source.control_totals),
    )
