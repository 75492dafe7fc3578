"""Finds batches that left the queue without a commit, and has their rows queued again."""

from typing import NamedTuple

from daybook.domain.element import BATCH_MARK
from daybook.stores import redis_keys
from daybook.stores.connection import RedisConnection, text_of
from daybook.stores.dumps import raise_if_lost


class Waiting(NamedTuple):
    """The queue at one moment."""

    elements: int
    checkpoints: dict[str, int]
    """Checkpoints as byte offsets, by source, for the sources with rows among the elements."""


class ReadAgain(NamedTuple):
    """The outcome of `Requeue.read_again`."""

    dropped_batches: int
    moved_elements: int
    """Elements of other producers that waited under the queue's former name."""
    sources: list[str]
    """Sources whose checkpoint went back to their ledger."""


class Requeue:
    """The queue of one lane, compared with the checkpoints."""

    def __init__(self, redis: RedisConnection, queue_key: str) -> None:
        self._redis, self._queue_key = redis, queue_key

    async def former_queue(self) -> str:
        """Return the queue's key at the last start of the lane; note and return the present key when there is none."""
        command = self._redis.command
        await command("HSETNX", redis_keys.STATE, "queue", self._queue_key)
        found: bytes = await command("HGET", redis_keys.STATE, "queue")
        return found.decode()

    async def queued_bytes(self) -> int:
        """Return the bytes of the batches in the queue, as the scripts count them."""
        return int(await self._redis.command("HGET", redis_keys.STATE, "queued_bytes") or 0)

    async def waiting(self) -> Waiting:
        elements, found = await self._redis.run(
            "waiting", [self._queue_key, redis_keys.SOURCES], {**redis_keys.PREFIXES}
        )
        pairs = zip(found[::2], found[1::2], strict=True)
        return Waiting(elements, {source.decode(): int(checkpoint) for source, checkpoint in pairs})

    async def read_again(self, token: str, former_queue: str | None = None) -> ReadAgain:
        """Drop all queued batches and set every checkpoint back to its ledger, in one step.

        Each importer finds that its checkpoint moved and reads its file on from there. Nothing counts twice, because
        the fence compares the ledgers. Elements of other producers stay; those under the key `former_queue` move to
        the present queue. Raises LaneLostError when another owner took the lane or Redis is not restored.
        """
        answer = await self._redis.run(
            "read_again",
            [
                redis_keys.LANE, redis_keys.STATE, self._queue_key, former_queue or self._queue_key,
                redis_keys.SOURCES, redis_keys.CHANGED_SOURCES, redis_keys.REJECTS,
            ],
            token,
            {**redis_keys.PREFIXES, "batch_mark": text_of(BATCH_MARK)},
        )  # fmt: skip
        raise_if_lost(answer[0])
        _, batches, moved, sources = answer
        return ReadAgain(batches, moved, [source.decode() for source in sources])
