"""Rendered `/stats` answers, kept as long as no total has changed."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from daybook.api.stats_service import StatsService, render
from daybook.errors import RecoveringError
from daybook.stores.hot_aggregates import HotAggregates, Revision

_MAX_AGE_SECONDS = 1.0
"""For what changes without a commit: someone who writes to the archive by hand."""
_KEPT_ANSWERS, _KEPT_BYTES = 64, 16 << 20
_KNOWN_QUESTIONS = 1000


class _Kept(NamedTuple):
    revision: Revision
    until: float
    answer: bytes


class StatsAnswers:
    """An answer is given again only if Redis says, after the question came, that nothing was committed since.

    Raises what `StatsService.totals` raises.
    """

    def __init__(self, service: StatsService, hot: HotAggregates, waiting_for: Callable[[], str]) -> None:
        """`waiting_for` tells what keeps the lane from working: till it is empty the stores may not fit together."""
        self._service, self._hot, self._waiting_for = service, hot, waiting_for
        self._kept: OrderedDict[tuple[date, date], _Kept] = OrderedDict()
        self._bytes = 0
        self._ranges: dict[bytes, tuple[date, date]] = {}
        self._asking: asyncio.Task[Revision] | None = None
        self._next: asyncio.Task[Revision] | None = None

    def understand(self, question: bytes, first: date, last: date) -> None:
        """Remember which days a query string asks for."""
        if len(self._ranges) >= _KNOWN_QUESTIONS:
            self._ranges.clear()
        self._ranges[question] = first, last

    def days_of(self, question: bytes) -> tuple[date, date] | None:
        """The days that a query string asks for, if it was understood before."""
        return self._ranges.get(question)

    async def answer(self, first: date, last: date) -> bytes:
        revision = await self._revision()
        if reason := self._waiting_for():
            raise RecoveringError(reason)
        kept = self._kept.get((first, last))
        if kept is not None and kept.revision == revision and time.monotonic() < kept.until:
            self._kept.move_to_end((first, last))
            return kept.answer
        answer = render(await self._service.totals(first, last))
        self._keep((first, last), _Kept(revision, time.monotonic() + _MAX_AGE_SECONDS, answer))
        return answer

    async def _revision(self) -> Revision:
        """What Redis says from now on; all who ask before the question is sent share one round trip."""
        if self._next is None:
            self._next = asyncio.create_task(self._ask(self._asking))
        return await asyncio.shield(self._next)

    async def _ask(self, before: asyncio.Task[Revision] | None) -> Revision:
        if before is not None:
            await asyncio.wait([before])
        self._asking, self._next = self._next, None
        return await self._hot.revision()

    def _keep(self, key: tuple[date, date], kept: _Kept) -> None:
        held = self._kept.pop(key, None)
        self._bytes += len(kept.answer) - (len(held.answer) if held else 0)
        self._kept[key] = kept
        while len(self._kept) > _KEPT_ANSWERS or self._bytes > _KEPT_BYTES:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= len(dropped.answer)
