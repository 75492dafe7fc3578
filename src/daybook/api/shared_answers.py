"""Makes an answer once for all who ask the same question, and bounds the answers in the making."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from cachetools import LRUCache

from daybook.errors import BusyError, RecoveringError
from daybook.runtime.stop import end
from daybook.stores.redis_state import RedisState
from daybook.stores.stores import Stores

_MAKING_AT_ONCE = 4
_MAX_AGE_SECONDS = 1.0
"""Longest time that an answer is kept: another program may change the archive, which Redis' state does not show."""
_KEPT_BYTES = 16 << 20

Make = Callable[[], Awaitable[bytes]]


class _Kept(NamedTuple):
    state: RedisState
    until: float
    answer: bytes


@dataclass(eq=False)
class _Making:
    """An answer in the making."""

    task: asyncio.Task[bytes] = field(init=False)
    begun: bool = False
    """True once Redis is asked for its state. Later questions must not share this answer then."""


class SharedAnswers:
    """Shares an answer only among questions that came before Redis was asked for its state.

    A kept answer is used only when Redis' state, asked after the question came, is still the same: there was no commit,
    snapshot, settling, restore or change of owner.
    """

    def __init__(
        self, stores: Stores, waiting_for: Callable[[], str], *, most: int = 64, seconds: float = 30.0
    ) -> None:
        """Take `waiting_for`, which returns the reason why the lane does not work.

        Redis and the archive may disagree until it is empty. `most` bounds the answers in the making, including those
        that wait for their turn. `seconds` bounds the time of an answer, including its waiting.
        """
        self._stores, self._waiting_for = stores, waiting_for
        self._most, self._seconds = most, seconds
        self._kept: LRUCache[Hashable, _Kept] = LRUCache(_KEPT_BYTES, getsizeof=lambda kept: len(kept.answer))
        self._latest: dict[Hashable, _Making] = {}
        self._tasks: set[asyncio.Task[bytes]] = set()
        self._places = asyncio.Semaphore(_MAKING_AT_ONCE)
        self._asking: asyncio.Task[RedisState] | None = None
        self._next: asyncio.Task[RedisState] | None = None

    async def answer(self, question: Hashable, make: Make, *, keep: bool = True) -> bytes:
        """Return the answer of `make`, made for this question or for an equal one.

        `keep` allows to return it again while Redis' state stays the same, for a second at most. Cancelling a caller
        leaves the answer in the making. Raises BusyError when too many answers are in the making or this one takes too
        long, RecoveringError while Redis and the archive may disagree, StoreUnavailableError, and what `make` raises.
        """
        deadline = asyncio.get_running_loop().time() + self._seconds
        if keep and (kept := self._kept_of(question, await self._state_in_time(deadline))):
            return kept
        making = self._latest.get(question)
        if making is None or making.begun:
            making = self._start(question, make, making, deadline, keep=keep)
        return await asyncio.shield(making.task)

    async def close(self) -> None:
        """End all answers in the making, and the questions to Redis."""
        asking = [task for task in (self._asking, self._next) if task is not None]
        await end([*self._tasks, *asking])

    def _start(self, question: Hashable, make: Make, before: _Making | None, deadline: float, *, keep: bool) -> _Making:
        if len(self._tasks) >= self._most:
            raise BusyError(f"{self._most} other answers are in the making: ask again later")
        making = self._latest[question] = _Making()
        making.task = asyncio.create_task(self._make(question, make, making, before, deadline, keep=keep))
        self._tasks.add(making.task)
        making.task.add_done_callback(self._end)
        return making

    def _end(self, task: asyncio.Task[bytes]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # asyncio would log it as never retrieved when no caller is left

    async def _make(
        self, question: Hashable, make: Make, making: _Making, before: _Making | None, deadline: float, *, keep: bool
    ) -> bytes:
        try:
            async with asyncio.timeout_at(deadline):
                if before is not None:
                    await asyncio.wait([before.task])
                async with self._places:
                    making.begun = True
                    state = await self._state()
                    if keep and (kept := self._kept_of(question, state)):
                        return kept
                    answer = await make()
                    if keep and len(answer) <= _KEPT_BYTES:
                        self._kept[question] = _Kept(state, time.monotonic() + _MAX_AGE_SECONDS, answer)
                    return answer
        except TimeoutError:
            reason = (
                "it is large or the stores are slow" if making.begun else f"{_MAKING_AT_ONCE} others are made at a time"
            )
            raise self._late(reason) from None
        finally:
            if self._latest.get(question) is making:
                del self._latest[question]

    def _late(self, reason: str) -> BusyError:
        return BusyError(f"the answer was not ready within {self._seconds:g} s: {reason}")

    def _kept_of(self, question: Hashable, state: RedisState) -> bytes | None:
        kept = self._kept.get(question)
        return kept.answer if kept and kept.state == state and time.monotonic() < kept.until else None

    async def _state_in_time(self, deadline: float) -> RedisState:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._state()
        except TimeoutError:
            raise self._late("Redis is slow") from None

    async def _state(self) -> RedisState:
        """Return Redis' state, asked after this call. All calls before Redis is asked share its answer."""
        if self._next is None:
            self._next = asyncio.create_task(self._ask(self._asking))
        state = await asyncio.shield(self._next)
        if reason := self._waiting_for():
            raise RecoveringError(reason)
        return state

    async def _ask(self, before: asyncio.Task[RedisState] | None) -> RedisState:
        if before is not None:
            await asyncio.wait([before])
        self._asking, self._next = self._next, None
        return await self._stores.hot.restored_state()
