"""The queue between importers (and any other producer) and the aggregator."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from daybook.domain.position import Position
from daybook.domain.reject import RAW_LIMIT, Reject
from daybook.errors import RecoveringError
from daybook.stores import redis_keys
from daybook.stores.connection import RedisConnection, text_of

MAX_ELEMENT_BYTES = 32 << 20
"""A larger element is rejected unread; the importer never pushes one."""


class Oversized(NamedTuple):
    length: int
    beginning: bytes


Element = bytes | Oversized


class QueueLimits(NamedTuple):
    elements: int
    """In the queue at most; a batch waits above it."""
    queued_bytes: int
    """Of the importer's batches in the queue."""
    reject_bytes: int
    """Of rejects and restatements that wait for the archive."""
    element_bytes: int = MAX_ELEMENT_BYTES
    """Of one element; a larger one is answered as `Oversized`."""


class Enqueued(NamedTuple):
    """What the queue did with a batch: exactly one of these holds."""

    ok: bool = False
    full: bool = False
    moved_to: int | None = None
    """The checkpoint is elsewhere: go on from there."""
    unknown: bool = False
    """Redis does not know the source (any more): identify the file again."""


class TransactionQueue:
    def __init__(self, redis: RedisConnection, key: str, limits: QueueLimits) -> None:
        self._redis = redis
        self.key = key
        self._limits = limits

    async def enqueue(
        self, source_id: str, start: int, end: Position, element: bytes, rejects: Sequence[Reject]
    ) -> Enqueued:
        """Push a batch and advance the checkpoint from `start` to `end`, in one step.

        To be called again after a lost reply: the answer is then `moved_to` the end. Raises RecoveringError
        while Redis' state is not restored.
        """
        packed = [msgspec.json.encode(reject) for reject in rejects]
        answer = await self._redis.run(
            "enqueue",
            [
                redis_keys.STATE,
                self.key,
                redis_keys.source(source_id),
                redis_keys.CHANGED_SOURCES,
                redis_keys.REJECTS,
            ],
            {
                "source": source_id,
                "expected": str(start),
                "checkpoint": str(end.offset),
                "position": end.to_json().decode(),
                "rejects": [text_of(reject) for reject in packed],
                "reject_bytes": sum(map(len, packed)),
                "max_elements": self._limits.elements,
                "max_queued_bytes": self._limits.queued_bytes,
                "max_reject_bytes": self._limits.reject_bytes,
            },
            element,
        )
        match answer[0]:
            case b"ok":
                return Enqueued(ok=True)
            case b"moved":
                return Enqueued(moved_to=int(answer[1]))
            case b"unknown":
                return Enqueued(unknown=True)
            case b"recovering":
                raise RecoveringError("Redis' state is not restored yet")
            case _:
                return Enqueued(full=True)

    async def wait(self, seconds: float) -> bool:
        """Block until there is an element, at most `seconds`; the queue stays as it is."""
        return await self._redis.command("BLMOVE", self.key, self.key, "RIGHT", "RIGHT", seconds) is not None

    async def peek(self, elements: int, total_bytes: int) -> list[Element]:
        """The oldest elements, oldest first; they stay in the queue until a commit trims them."""
        found = await self._redis.run("peek", [self.key], elements, total_bytes, self._limits.element_bytes, RAW_LIMIT)
        return [item if isinstance(item, bytes) else Oversized(*item) for item in found]

    async def length(self) -> int:
        return int(await self._redis.command("LLEN", self.key))
