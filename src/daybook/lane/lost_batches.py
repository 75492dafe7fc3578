"""Watches the queue: finds batches that left it without a commit, and has their rows queued again."""

import time
from collections.abc import Callable

import structlog

from daybook.domain.source import Source
from daybook.stores.requeue import Waiting
from daybook.stores.stores import Stores

log = structlog.get_logger("queue")

_SOURCES_NAMED = 5
_LOOK_SECONDS = 2.0
_FULL_LOOK_SHARE, _FULL_LOOK_SECONDS = 200, 30.0
"""A full look is made even when no batch is said to be queued, because another program may have confused that number:
after so many times what the last one took, so that it takes half a hundredth of Redis' time, and after 30 s at most.
"""


class LostBatches:
    """Compares the queue with the checkpoints. The one consumer of a lane uses it.

    The queue is first in, first out. Once the consumer has trimmed all elements that were there at one moment, every
    ledger is at least where its checkpoint was then. A ledger before that place shows that a batch left the queue
    without a commit: another program took it.
    """

    def __init__(
        self, stores: Stores, token: str, on_loss: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stores, self._token, self._on_loss, self._clock = stores, token, on_loss, clock
        self._mark: Waiting | None = None
        self._left = 0
        """Number of elements of the mark that are not trimmed yet."""
        self._next_look = self._next_full_look = 0.0

    def trimmed(self, elements: int) -> None:
        """Note that the consumer trimmed `elements` elements."""
        self._left -= elements

    async def look(self, *, idle: bool) -> None:
        """Look for lost batches, with a new mark at most every two seconds. `idle`: the queue was empty just now."""
        if self._mark is not None and self._left <= 0 and not idle:
            mark, self._mark = self._mark, None
            await self._judge(mark)
        elif self._clock() >= self._next_look and (idle or self._mark is None):
            self._next_look = self._clock() + _LOOK_SECONDS
            await self._take_mark()

    async def _take_mark(self) -> None:
        requeue = self._stores.requeue
        begun, mark, queued_bytes = self._clock(), Waiting(0, {}), await self._stores.requeue.queued_bytes()
        if begun >= self._next_full_look or queued_bytes:
            mark = await requeue.waiting()
            now = self._clock()
            self._next_full_look = now + min(_FULL_LOOK_SECONDS, _FULL_LOOK_SHARE * (now - begun))
        if mark.elements == 0:
            self._mark = None
            if not await self._judge(mark) and queued_bytes:
                await self._correct_queued_bytes(queued_bytes)
        elif mark.checkpoints:
            self._mark, self._left = mark, mark.elements

    async def _correct_queued_bytes(self, queued_bytes: int) -> None:
        """Have the batches in the queue counted again: some were said to be there, and there was no element."""
        await self.read_again()
        log.warning("the number of queued bytes was wrong; another program may have set it", queued_bytes=queued_bytes)

    async def _judge(self, mark: Waiting) -> bool:
        """Have rows read again when a ledger is before its place in the mark; return whether one was."""
        for source, checkpoint in mark.checkpoints.items():
            found = await self._stores.sources.get(source)
            if found is not None and _lacks(found, checkpoint):
                await self.read_again()
                return True
        return False

    async def read_again(self) -> int:
        """Have the rows of lost batches queued again; return how many batches were dropped from the queue for that."""
        self._mark = None
        found = await self._stores.requeue.read_again(self._token)
        if found.sources:
            self._on_loss()
            log.warning(
                "batches left the queue without a commit; another program may take them. Their files are read again",
                queue=self._stores.queue.key,
                sources=found.sources[:_SOURCES_NAMED],
                number=len(found.sources),
            )
        return found.dropped_batches


def _lacks(source: Source, checkpoint: int) -> bool:
    """Return whether a batch of the source, queued before it had this checkpoint, was not applied."""
    if source.reverted is not None:
        return False
    lost_reversal = source.reverting is not None and source.reverting.queued
    return lost_reversal or source.applied.offset < checkpoint or source.read.offset < source.applied.offset
