"""The buckets and records that Redis holds, for reading."""

import asyncio
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from daybook.clock import moment_of, moment_text
from daybook.domain.bucket import Bucket, BucketState, Cell, HeldBucket
from daybook.domain.money import parse_total
from daybook.domain.reject import Reject
from daybook.domain.restatement import Restatement
from daybook.errors import DamagedBucketError, RecoveringError
from daybook.stores import redis_keys
from daybook.stores.connection import RedisConnection
from daybook.stores.redis_state import RedisState

_BUCKETS_PER_READ = 100
_COUNTS = msgspec.json.Decoder(dict[str, Annotated[int, msgspec.Meta(ge=0)]])
_SHOWN_CHARACTERS = 64


class HotBuckets:
    """The resident buckets, and the rejects and restatements that wait for the archive."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis
        self._damaged: set[Bucket] = set()

    async def state(self) -> RedisState | None:
        """Return Redis' state; None when Redis was never used or was wiped."""
        (archive, snapshot, settled, restored), (owner, sequence) = await self._redis.pipeline(
            [
                ("HMGET", redis_keys.STATE, "archive", "snapshot", "settled", "restored"),
                ("HMGET", redis_keys.LANE, "owner", "sequence"),
            ]
        )
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
        known, names = await self._redis.pipeline(
            [
                ("EXISTS", redis_keys.STATE),
                ("ZRANGE", redis_keys.RESIDENT, f"[{first_day}", f"[{last_day};", "BYLEX"),
            ]
        )
        if not known:
            raise RecoveringError("Redis' state is not restored yet")
        return await asyncio.to_thread(lambda: [redis_keys.bucket_of(name.decode()) for name in names])

    async def read(self, buckets: Iterable[Bucket]) -> dict[Bucket, HeldBucket]:
        """Return the wanted buckets that are resident, each in full. Raises DamagedBucketError."""
        wanted = list(buckets)
        found: dict[Bucket, HeldBucket] = {}
        for first in range(0, len(wanted), _BUCKETS_PER_READ):
            part = wanted[first : first + _BUCKETS_PER_READ]
            answers = await self._redis.run(
                "read",
                [redis_keys.VERSIONS, redis_keys.CHANGED, redis_keys.CLOSED],
                {**redis_keys.PREFIXES, "buckets": [*map(redis_keys.bucket_name, part)]},
            )
            try:
                found |= await asyncio.to_thread(_parse, part, answers)
                self._damaged.difference_update(part)
            except DamagedBucketError as error:
                self._damaged.add(Bucket(*error.bucket))
                raise
        return found

    def note_damaged(self, bucket: Bucket) -> None:
        """Remember for `check_damaged` a bucket that another reader found damaged."""
        self._damaged.add(bucket)

    async def check_damaged(self) -> None:
        """Raise DamagedBucketError while one of the buckets that were found damaged still is."""
        for bucket in sorted(self._damaged):
            await self.read([bucket])

    async def waiting_rejects(self) -> list[Reject]:
        """Return the rejects that the archive may not hold yet. Call this before reading the archive, to miss none."""
        packed = await self._redis.command("LRANGE", redis_keys.REJECTS, 0, -1)
        return await asyncio.to_thread(lambda: [msgspec.json.decode(reject, type=Reject) for reject in packed])

    async def waiting_restatements(self) -> list[Restatement]:
        """Return the restatements that the archive may not hold yet. Call this before reading the archive."""
        packed = await self._redis.command("LRANGE", redis_keys.RESTATEMENTS, 0, -1)
        return await asyncio.to_thread(lambda: [msgspec.json.decode(each, type=Restatement) for each in packed])


def _parse(buckets: Iterable[Bucket], answers: Iterable[list[Any]]) -> dict[Bucket, HeldBucket]:
    return {bucket: _held(bucket, answer) for bucket, answer in zip(buckets, answers, strict=True) if answer}


def _held(bucket: Bucket, answer: list[Any]) -> HeldBucket:
    changed_ms, closed, *content = answer
    since = moment_text(moment_of(int(float(changed_ms))))
    return HeldBucket(parse_bucket(bucket, *content), since, resident=True, closed=bool(closed))


def parse_bucket(bucket: Bucket, version: Any, totals: Any, counts: Any) -> BucketState:
    """Read a bucket as the scripts answer it: its totals as a flat field/value list, its counts as a JSON object.

    Raises DamagedBucketError, which names the key and the field, for all that Daybook does not write.
    """
    try:
        count_of = _COUNTS.decode(counts)
        texts = [text.decode() for text in totals]
        pairs = zip(texts[::2], texts[1::2], strict=True)
        cells = {name: Cell(parse_total(total), count_of[name]) for name, total in pairs}
        if version.isdigit() and len(cells) == len(count_of):
            return BucketState(int(version), cells)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise DamagedBucketError(
        f"{_damage(bucket, version, totals, counts)}: another program wrote it; write the right value back, or empty "
        "Redis: then Daybook goes on from the archive, without what other producers pushed since the last dump",
        bucket,
    )


def _damage(bucket: Bucket, version: Any, totals: Any, counts: Any) -> str:
    """Name the first key and field that is not as Daybook writes it, and say why."""
    name, totals_key, counts_key = redis_keys.bucket_name(bucket), redis_keys.totals(bucket), redis_keys.counts(bucket)
    if not isinstance(version, bytes) or not version.isdigit():
        return f"{redis_keys.VERSIONS}, field {name}: {_shown(version)} is no version"
    if not isinstance(totals, list):
        return f"{totals_key} is no hash"
    try:
        count_of = _COUNTS.decode(counts)
    except (TypeError, ValueError):
        return f"{counts_key}: {_shown(counts)} is no JSON object of counts"
    for field, total in zip(totals[::2], totals[1::2], strict=True):
        method = field.decode(errors="replace")
        if not _is_total(total):
            return f"{totals_key}, field {_named(method)}: {_shown(total)} is no total"
        if method not in count_of:
            return f"{counts_key}, field {_named(method)} is missing"
        del count_of[method]
    return f"{totals_key}, field {_named(next(iter(count_of), ''))} is missing"


def _is_total(text: bytes) -> bool:
    try:
        parse_total(text.decode())
    except ValueError:
        return False
    return True


def _named(method: str) -> str:
    """Return a method for a message of one line."""
    return method if method.isprintable() and len(method) <= _SHOWN_CHARACTERS else repr(method[:_SHOWN_CHARACTERS])


def _shown(value: Any) -> str:
    """Return what stands in Redis, in quotes, for a message of one line."""
    if not isinstance(value, bytes):
        return "nothing" if value is None else f"a value of another type ({value})"
    return repr(value.decode(errors="replace")[:_SHOWN_CHARACTERS])
