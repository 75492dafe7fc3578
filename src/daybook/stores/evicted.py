"""The index of the buckets that the archive may hold while Redis does not: a bitmap in Redis.

With it Redis alone can prove that a day and type has no transactions. Each day of the calendar has one bit for each
type, so the bitmap never takes more than 0.9 MB. Eviction sets bits in the script that deletes the bucket. A restore
deletes the bitmap; the lane's owner makes it anew from the archive before it works.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import date

from daybook.domain.bucket import TYPES, Bucket
from daybook.stores import redis_keys
from daybook.stores.archive import Archive
from daybook.stores.connection import RedisConnection, text_of
from daybook.stores.dumps import raise_if_lost
from daybook.stores.redis_state import RedisState

_BITS = 8


def _first_place(day: date) -> int:
    return redis_keys.place_of(Bucket(day.isoformat(), TYPES[0]))


class Evicted:
    """The index in Redis."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis

    async def is_needed(self, first: date, last: date, found: Iterable[Bucket], before: RedisState) -> bool:
        """Return whether the archive may hold a bucket of a range of days that is not among `found`, from Redis.

        `before` is Redis' state before `found` was read. The answer is True also when the index is missing or Redis was
        restored since.
        """
        begin, end = _first_place(first), _first_place(last) + len(TYPES)
        bits, known, restored = await self._redis.pipeline(
            [
                ("GETRANGE", redis_keys.EVICTED, begin // _BITS, (end - 1) // _BITS),
                ("EXISTS", redis_keys.EVICTED),
                ("HGET", redis_keys.STATE, "restored"),
            ]
        )
        if not known or (restored or b"") != before.restored:
            return True
        left = _Bits(bits, begin // _BITS * _BITS)
        left.clear(*range(begin // _BITS * _BITS, begin), *range(end, (end + _BITS - 1) // _BITS * _BITS))
        left.clear(*map(redis_keys.place_of, found))
        return bool(left.content.strip(b"\0"))

    async def days(self) -> list[str] | None:
        """Return all days of the index in order; None when the index is missing."""
        bits: bytes | None = await self._redis.command("GET", redis_keys.EVICTED)
        if bits is None:
            return None
        return list(dict.fromkeys(redis_keys.bucket_at(place).day for place in _Bits(bits, 0).places()))

    async def prepare(self, archive: Archive, token: str) -> None:
        """Make the index from the archive unless Redis has it. Raises LaneLostError when another owner took the lane.

        Call it as the lane's owner while no other part of the process dumps or evicts.
        """
        if await self._redis.command("EXISTS", redis_keys.EVICTED):
            return
        bits = _Bits(b"", 0)
        async for bucket in archive.buckets():
            with suppress(ValueError):  # a day that no calendar has: no question can name it
                bits.set(redis_keys.place_of(bucket))
        answer = await self._redis.run(
            "index_evicted", [redis_keys.LANE, redis_keys.EVICTED], token, {"bits": text_of(bytes(bits.content))}
        )
        raise_if_lost(answer)


class _Bits:
    """Some bytes of a bitmap as Redis numbers it: the first bit of a byte is its highest."""

    def __init__(self, content: bytes, first: int) -> None:
        """`first` is the number of the first bit, a multiple of 8."""
        self.content, self._first = bytearray(content), first

    def set(self, place: int) -> None:
        index, bit = divmod(place - self._first, _BITS)
        if index >= len(self.content):
            self.content.extend(bytes(index + 1 - len(self.content)))
        self.content[index] |= 0x80 >> bit

    def clear(self, *places: int) -> None:
        for place in places:
            index, bit = divmod(place - self._first, _BITS)
            if 0 <= index < len(self.content):
                self.content[index] &= ~(0x80 >> bit)

    def places(self) -> Iterable[int]:
        for index, byte in enumerate(self.content):
            if byte:
                yield from (self._first + index * _BITS + bit for bit in range(_BITS) if byte & (0x80 >> bit))
