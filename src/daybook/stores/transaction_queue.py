"""The queue: importers and other producers push elements, the aggregator takes them."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from daybook.domain.position import Position
from daybook.domain.reject import RAW_LIMIT, Reject
from daybook.domain.source import Source
from daybook.errors import RecoveringError
from daybook.stores import redis_keys
from daybook.stores.connection import RedisConnection, text_of

MAX_ELEMENT_BYTES = 32 << 20
"""Largest element that is read, in bytes. A larger one is rejected unread; the importer never pushes one."""


class Oversized(NamedTuple):
    """An element that is too large to be read."""

    length: int
    """Length of the whole element, in bytes."""
    beginning: bytes
    """The first `RAW_LIMIT` bytes."""


Element = bytes | Oversized


class QueueLimits(NamedTuple):
    """The limits above which a batch must wait."""

    elements: int
    """Number of elements in the queue."""
    queued_bytes: int
    """Bytes of the batches in the queue; one batch may be larger."""
    reject_bytes: int
    """Bytes of the rejects and restatements that wait for the archive."""
    element_bytes: int = MAX_ELEMENT_BYTES
    """Bytes of one element; `peek` returns a larger one as `Oversized`."""


class Enqueued(NamedTuple):
    """The answer to `enqueue`; exactly one field is set."""

    ok: bool = False
    """The batch is queued."""
    full: bool = False
    """The batch must wait for room."""
    moved_to: int | None = None
    """The checkpoint's offset, which is not where the batch starts: go on from there."""
    unknown: bool = False
    """Redis does not know the source, or no longer does: identify the file again."""


class TransactionQueue:
    def __init__(self, redis: RedisConnection, key: str, limits: QueueLimits) -> None:
        self._redis = redis
        self.key = key
        self._limits = limits

    async def enqueue(
        self,
        source_id: str,
        start: int,
        end: Position,
        element: bytes,
        rejects: Sequence[Reject],
        reversed_source: Source | None = None,
        sketch: bytes = b"",
    ) -> Enqueued:
        """Push a batch, store its rejects, and advance the checkpoint from `start` to `end`, in one step.

        With `reversed_source` the batch reverses that source, if its checkpoint and its mark `reverting` are still
        those; the step notes that the reversal is queued.
        `sketch` is the source's at `end`; empty when it stays as it is.
        Call it again after a lost reply: `moved_to` the end then says that the batch was queued.
        Raises RecoveringError while Redis' state is not restored.
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
                *([redis_keys.source(reversed_source.id)] if reversed_source else ()),
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
                "reversal": _reversal(reversed_source) if reversed_source else None,
            }
            | ({"sketch": text_of(sketch)} if sketch else {}),
            element,
        )
        match answer[0]:
            case b"ok":
                return Enqueued(ok=True)
            case b"moved":
                return Enqueued(moved_to=int(answer[1]))
            case b"unknown":
                return Enqueued(unknown=True)
            case b"other queue":
                raise RecoveringError(
                    f"Redis is used with the queue {answer[1].decode()}, not {self.key}: set "
                    "RedisTransactionQueueKeyName to it, or restart the instance that has the lane with this one"
                )
            case b"recovering":
                raise RecoveringError("Redis' state is not restored yet")
            case _:
                return Enqueued(full=True)

    async def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` for an element; return whether there is one. The queue stays as it is."""
        return await self._redis.command("BLMOVE", self.key, self.key, "RIGHT", "RIGHT", seconds) is not None

    async def peek(self, elements: int, total_bytes: int) -> list[Element]:
        """Return up to `elements` elements, oldest first; they stay in the queue until a commit trims them.

        Together they have at most `total_bytes`, unless the first one alone is larger.
        """
        found = await self._redis.run("peek", [self.key], elements, total_bytes, self._limits.element_bytes, RAW_LIMIT)
        return [item if isinstance(item, bytes) else Oversized(*item) for item in found]

    async def length(self) -> int:
        return int(await self._redis.command("LLEN", self.key))


def _reversal(source: Source) -> dict[str, str]:
    assert source.reverting is not None
    return {
        "source": source.id,
        "expected": str(source.read.offset),
        "mark": source.reverting.to_json().decode(),
        "queued": msgspec.structs.replace(source.reverting, queued=True).to_json().decode(),
    }
