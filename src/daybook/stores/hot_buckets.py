"""The buckets and records that Redis holds, for reading."""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from daybook.clock import moment_of, moment_text
from daybook.domain.bucket import Bucket, BucketState, Cell, HeldBucket
from daybook.domain.money import parse_total
from daybook.domain.reject import Reject
from daybook.domain.restatement import Restatement
from daybook.errors import RecoveringError
from daybook.stores import redis_keys
from daybook.stores.connection import RedisConnection, translated
from daybook.stores.redis_state import RedisState

_BUCKETS_PER_READ = 100
_COUNTS = msgspec.json.Decoder(dict[str, int])


class HotBuckets:
    """The resident buckets, and the rejects and restatements that wait for the archive."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis

    async def state(self) -> RedisState | None:
        """Return Redis' state; None when Redis was never used or was wiped."""
        with translated():
            async with self._redis.client.pipeline(transaction=False) as pipe:
                pipe.hmget(redis_keys.STATE, "archive", "snapshot", "settled", "restored")
                pipe.hmget(redis_keys.LANE, "owner", "sequence")
                (archive, snapshot, settled, restored), (owner, sequence) = await pipe.execute()
        if archive is None:
            return None
        return RedisState(
            archive.decode(), int(snapshot or 0), int(settled or 0), restored or b"", owner or b"", sequence or b""
        )

    async def restored_state(self) -> RedisState:
        """Return Redis' state. Raises RecoveringError while it is not restored."""
        state = await self.state()
        if state is None:
            raise RecoveringError("Redis' state is not restored yet")
        return state

    async def resident(self, first_day: str, last_day: str) -> list[Bucket]:
        """Return the resident buckets of a range of days (`YYYY-MM-DD`, both ends included), in order of day.

        Raises RecoveringError while Redis' state is not restored.
        """
        with translated():
            async with self._redis.client.pipeline(transaction=False) as pipe:
                pipe.exists(redis_keys.STATE)
                pipe.execute_command("ZRANGE", redis_keys.RESIDENT, f"[{first_day}", f"[{last_day};", "BYLEX")
                known, names = await pipe.execute()
        if not known:
            raise RecoveringError("Redis' state is not restored yet")
        return await asyncio.to_thread(lambda: [redis_keys.bucket_of(name.decode()) for name in names])

    async def read(self, buckets: Iterable[Bucket]) -> dict[Bucket, HeldBucket]:
        """Return the wanted buckets that are resident, each in full."""
        wanted = list(buckets)
        found: dict[Bucket, HeldBucket] = {}
        for first in range(0, len(wanted), _BUCKETS_PER_READ):
            part = wanted[first : first + _BUCKETS_PER_READ]
            answers = await self._redis.run(
                "read",
                [redis_keys.VERSIONS, redis_keys.CHANGED, redis_keys.CLOSED],
                {**redis_keys.PREFIXES, "buckets": [*map(redis_keys.bucket_name, part)]},
            )
            found |= await asyncio.to_thread(_parse, part, answers)
        return found

    async def waiting_rejects(self) -> list[Reject]:
        """Return the rejects that the archive may not hold yet. Call this before reading the archive, to miss none."""
        packed = await self._redis.command("LRANGE", redis_keys.REJECTS, 0, -1)
        return await asyncio.to_thread(lambda: [msgspec.json.decode(reject, type=Reject) for reject in packed])

    async def waiting_restatements(self) -> list[Restatement]:
        """Return the restatements that the archive may not hold yet. Call this before reading the archive."""
        packed = await self._redis.command("LRANGE", redis_keys.RESTATEMENTS, 0, -1)
        return await asyncio.to_thread(lambda: [msgspec.json.decode(each, type=Restatement) for each in packed])


def _parse(buckets: Iterable[Bucket], answers: Iterable[list[Any]]) -> dict[Bucket, HeldBucket]:
    return {bucket: _held(answer) for bucket, answer in zip(buckets, answers, strict=True) if answer}


def _held(answer: list[Any]) -> HeldBucket:
    changed_ms, closed, *content = answer
    since = moment_text(moment_of(int(float(changed_ms))))
    return HeldBucket(parse_bucket(*content), since, resident=True, closed=bool(closed))


def parse_bucket(version: bytes, totals: list[bytes], counts: bytes) -> BucketState:
    """Return a bucket from a script's answer: `totals` is a flat field/value list, `counts` a JSON object."""
    count_of = _COUNTS.decode(counts)
    texts = [text.decode() for text in totals]
    pairs = zip(texts[::2], texts[1::2], strict=True)
    return BucketState(int(version), {name: Cell(parse_total(total), count_of[name]) for name, total in pairs})
