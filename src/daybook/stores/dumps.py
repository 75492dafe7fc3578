"""Redis' part in a dump: take a snapshot, settle it, evict what the archive holds."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from daybook.domain.bucket import Bucket, BucketState
from daybook.domain.reject import Reject
from daybook.domain.restatement import Restatement
from daybook.errors import LaneLostError
from daybook.stores import redis_keys
from daybook.stores.archive import ArchivedSource, Snapshot, Waiting
from daybook.stores.connection import RedisConnection
from daybook.stores.hot_buckets import parse_bucket
from daybook.stores.source_fields import flat, source_from

_CONTRIBUTIONS_PER_READ = 64
_LANE_LOST = "the lane is lost: another owner took it, or Redis was set back"


class Dumps:
    """The dumps of one lane. A call with a token raises LaneLostError when another owner took the lane."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis

    async def record_bytes(self) -> int:
        """Return the bytes of the rejects and restatements that wait for the archive."""
        return (await self.waiting_bytes())[0]

    async def waiting_bytes(self) -> tuple[int, int]:
        """Return the bytes of the rejects and restatements, and of the contributions, that wait for the archive."""
        records, contributions = await self._redis.command(
            "HMGET", redis_keys.STATE, "record_bytes", "contribution_bytes"
        )
        return int(records or 0), int(contributions or 0)

    async def resident_count(self) -> int:
        """Return the number of resident buckets."""
        return int(await self._redis.command("HLEN", redis_keys.VERSIONS))

    async def longest_unchanged(self, number: int) -> list[Bucket]:
        """Return up to `number` resident buckets, those that have not changed for the longest time first."""
        names = await self._redis.command("ZRANGE", redis_keys.CHANGED, 0, number - 1)
        return [redis_keys.bucket_of(name.decode()) for name in names]

    async def now_milliseconds(self) -> int:
        """Return the time of Redis' clock, which stamps the changes of buckets, in milliseconds since 1970."""
        seconds, microseconds = await self._redis.command("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def snapshot(self, token: str, last_number: int | None = None) -> Snapshot | None:
        """Take a snapshot of everything that the archive does not hold yet; return None when there is nothing.

        Rejects of rows after their source's ledger wait for a later snapshot. `last_number` is the number that Redis'
        last snapshot must have; None stands for any number. Raises LaneLostError when it has another one, because
        Redis was set back. Raises DamagedBucketError, which names the bucket; the snapshot's number is used up then.
        """
        answer = await self._redis.run(
            "snapshot",
            [
                redis_keys.LANE, redis_keys.STATE, redis_keys.VERSIONS, redis_keys.DIRTY,
                redis_keys.CHANGED_SOURCES, redis_keys.REJECTS, redis_keys.RESTATEMENTS, redis_keys.CONTRIBUTIONS,
            ],
            token,
            {**redis_keys.PREFIXES, "last_number": last_number},
        )  # fmt: skip
        raise_if_lost(answer[0])
        if answer[0] == b"none":
            return None
        _, number, record_bytes, buckets, sources, rejects, restatements, waiting = answer
        return Snapshot(
            number=number,
            buckets=await asyncio.to_thread(_bucket_states, buckets),
            sources=[_archived_source(fields) for fields in sources],
            rejects=[msgspec.json.decode(reject, type=Reject) for reject in rejects],
            restatements=[msgspec.json.decode(each, type=Restatement) for each in restatements],
            record_bytes=record_bytes,
            waiting=Waiting(*waiting),
        )

    async def contributions(self, waiting: Waiting) -> list[bytes]:
        """Return the contributions that a snapshot counted.

        Raises LaneLostError when they are no longer there: another owner settled them, or Redis was set back.
        """
        found: list[bytes] = []
        for first in range(0, waiting.number, _CONTRIBUTIONS_PER_READ):
            last = min(first + _CONTRIBUTIONS_PER_READ, waiting.number) - 1
            found += await self._redis.command("LRANGE", redis_keys.CONTRIBUTIONS, first, last)
        index = await self._redis.command("HGET", redis_keys.STATE, "contributions")
        if len(found) < waiting.number or int(index or 0) != waiting.first:
            raise LaneLostError(_LANE_LOST)
        return found

    async def settle(self, token: str, snapshot: Snapshot) -> None:
        """Note in Redis that the archive holds `snapshot`. Call it again after a lost reply."""
        settled = {
            **redis_keys.PREFIXES,
            "number": snapshot.number,
            "buckets": [
                {"name": redis_keys.bucket_name(bucket), "version": str(state.version)}
                for bucket, state in snapshot.buckets.items()
            ],
            "sources": [{"id": held.source.id, "revision": str(held.revision)} for held in snapshot.sources],
            "rejects": len(snapshot.rejects),
            "restatements": len(snapshot.restatements),
            "record_bytes": snapshot.record_bytes,
            "contributions": snapshot.waiting.number,
            "contribution_bytes": snapshot.waiting.size,
        }
        answer = await self._redis.run(
            "settle",
            [
                redis_keys.LANE, redis_keys.STATE, redis_keys.VERSIONS, redis_keys.DIRTY, redis_keys.ARCHIVED,
                redis_keys.CHANGED_SOURCES, redis_keys.REJECTS, redis_keys.RESTATEMENTS, redis_keys.CONTRIBUTIONS,
            ],
            token,
            settled,
        )  # fmt: skip
        raise_if_lost(answer)

    async def evict(self, token: str, buckets: Sequence[Bucket], unchanged_since_ms: int) -> int:
        """Evict those of the buckets that the archive holds at their version; return how many.

        A bucket that changed after `unchanged_since_ms`, on Redis' clock, stays.
        """
        if not buckets:
            return 0
        eviction = {
            **redis_keys.PREFIXES,
            "unchanged_since_ms": unchanged_since_ms,
            "buckets": [*map(redis_keys.bucket_name, buckets)],
            "places": [*map(redis_keys.place_of, buckets)],
        }
        evicted = await self._redis.run(
            "evict",
            [
                redis_keys.LANE, redis_keys.VERSIONS, redis_keys.ARCHIVED, redis_keys.CHANGED, redis_keys.RESIDENT,
                redis_keys.CLOSED, redis_keys.EVICTED,
            ],
            token,
            eviction,
        )  # fmt: skip
        if evicted < 0:
            raise LaneLostError(_LANE_LOST)
        return int(evicted)


def raise_if_lost(word: bytes) -> None:
    """Raise LaneLostError when `word`, a script's answer, says so."""
    if word == b"lost":
        raise LaneLostError(_LANE_LOST)


def _bucket_states(answers: list[Any]) -> dict[Bucket, BucketState]:
    named = ((redis_keys.bucket_of(name.decode()), content) for name, *content in answers)
    return {bucket: parse_bucket(bucket, *content) for bucket, content in named}


def _archived_source(pairs: list[bytes]) -> ArchivedSource:
    fields = flat(pairs)
    return ArchivedSource(source_from(fields), int(fields["revision"]))
