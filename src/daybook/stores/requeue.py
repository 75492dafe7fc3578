"""Finds batches that left the queue without a commit, and has their rows queued again."""

from typing import NamedTuple

from daybook.domain.element import BATCH_MARK
from daybook.errors import LaneLostError
from daybook.stores import redis_keys
from daybook.stores.connection import RedisConnection, text_of
from daybook.stores.dumps import raise_if_lost

_LOST_REVERSAL = "its reversal left the queue without a commit and was not made: revert the source again"


class Waiting(NamedTuple):
    """The queue at one moment."""

    elements: int
    checkpoints: dict[str, int]
    """Checkpoints as byte offsets, by source, for the sources with rows among the elements."""


class ReadAgain(NamedTuple):
    """The outcome of `Requeue.read_again`."""

    dropped_batches: int
    sources: list[str]
    """Sources whose checkpoint went back to their ledger, or whose reversal is no longer under way."""


class Requeue:
    """The queue of one lane, compared with the checkpoints."""

    def __init__(self, redis: RedisConnection, queue_key: str) -> None:
        self._redis, self._queue_key = redis, queue_key

    async def former_queue(self) -> str | None:
        """Return the key of the queue that the lane worked on last; None when nobody noted it."""
        found: bytes | None = await self._redis.command("HGET", redis_keys.STATE, "queue")
        return None if found is None else found.decode()

    async def adopt(self, token: str, former_queue: str) -> int:
        """Move the elements that wait under the queue's former name, and note the present one; return how many moved.

        Raises LaneLostError when another owner took the lane or Redis is not restored.
        """
        keys = [redis_keys.LANE, redis_keys.STATE, self._queue_key, former_queue]
        moved: int = await self._redis.run("adopt_queue", keys, token)
        if moved < 0:
            raise LaneLostError("the queue's lane is lost")
        return moved

    async def queued_bytes(self) -> int:
        """Return the bytes of the batches in the queue, as the scripts count them."""
        return int(await self._redis.command("HGET", redis_keys.STATE, "queued_bytes") or 0)

    async def waiting(self) -> Waiting:
        elements, found = await self._redis.run(
            "waiting", [self._queue_key, redis_keys.SOURCES], {**redis_keys.PREFIXES}
        )
        pairs = zip(found[::2], found[1::2], strict=True)
        return Waiting(elements, {source.decode(): int(checkpoint) for source, checkpoint in pairs})

    async def read_again(self, token: str) -> ReadAgain:
        """Set the checkpoints of sources with lost batches back to their ledgers, and drop their other batches.

        Each importer finds that its checkpoint moved and reads its file on from there. Nothing counts twice, because
        the fence compares the ledgers. All other elements stay in the queue. Raises LaneLostError when another owner
        took the lane or Redis is not restored.
        """
        answer = await self._redis.run(
            "read_again",
            [
                redis_keys.LANE, redis_keys.STATE, self._queue_key, redis_keys.SOURCES, redis_keys.CHANGED_SOURCES,
            ],
            token,
            {**redis_keys.PREFIXES, "batch_mark": text_of(BATCH_MARK), "lost_reversal": _LOST_REVERSAL},
        )  # fmt: skip
        raise_if_lost(answer[0])
        _, batches, sources = answer
        return ReadAgain(batches, [source.decode() for source in sources])
