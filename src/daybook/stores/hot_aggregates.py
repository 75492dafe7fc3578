"""The resident buckets in Redis, and the scripts that change them."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from daybook.clock import moment_of, moment_text
from daybook.domain.bucket import Bucket, BucketState, Cell
from daybook.domain.element import BATCH_MARK
from daybook.domain.money import parse_total
from daybook.domain.position import Position, Reject
from daybook.domain.restatement import Restatement
from daybook.domain.source import QUEUE_SOURCE, Source
from daybook.errors import LaneLostError, RecoveringError
from daybook.stores import redis_keys
from daybook.stores.archive import ArchivedSource, ArchiveState, Snapshot
from daybook.stores.commit import Commit, script_arguments
from daybook.stores.connection import Argument, RedisConnection, translated
from daybook.stores.source_registry import fields_of, flat, source_from

_BUCKETS_PER_READ = 500
_COUNTS = msgspec.json.Decoder(dict[str, int])


class ResidentBucket(NamedTuple):
    state: BucketState
    changed_ms: int
    """When it was last changed, by Redis' clock."""
    closed: bool
    """It had left Redis before: each change is a restatement."""

    @property
    def changed(self) -> str:
        """As `clock.moment_text`."""
        return moment_text(moment_of(self.changed_ms))


class Committed(NamedTuple):
    stale: list[Bucket]
    """Not at the expected version; nothing was written then. Empty: committed, now or by an earlier try."""


class Revision(NamedTuple):
    """Differs whenever a total may, and when Redis' place beside the archive does."""

    owner: bytes
    sequence: bytes
    snapshot: int
    """Number of the last snapshot that was taken."""
    settled: int
    """Of the last one that the archive is known to hold."""
    restored: bytes
    """By whom it was restored last."""


class RedisState(NamedTuple):
    """What tells whether Redis and the archive belong together."""

    archive: str
    snapshot: int
    settled: int


class HotAggregates:
    """Buckets of one lane. Methods that write take the lane's token and raise LaneLostError if it is void."""

    def __init__(self, redis: RedisConnection, queue_key: str) -> None:
        self._redis = redis
        self._queue_key = queue_key

    async def sequence(self) -> int:
        """Of the last commit."""
        return int(await self._redis.command("HGET", redis_keys.LANE, "sequence") or 0)

    async def state(self) -> RedisState | None:
        """None when Redis was never used or was wiped."""
        archive, snapshot, settled = await self._redis.command(
            "HMGET", redis_keys.STATE, "archive", "snapshot", "settled"
        )
        return None if archive is None else RedisState(archive.decode(), int(snapshot or 0), int(settled or 0))

    async def commit(self, token: str, commit: Commit) -> Committed:
        """Apply a commit exactly once. To be called again, unchanged, after a lost reply."""
        keys, arguments = await asyncio.to_thread(script_arguments, commit, token, self._queue_key)
        answer = await self._redis.run("commit", keys, arguments)
        match answer[0]:
            case b"ok" | b"done":
                return Committed([])
            case b"stale":
                return Committed([redis_keys.bucket_of(name.decode()) for name in answer[1:]])
            case word:
                raise LaneLostError(f"the queue's lane is lost: {word.decode()}")

    async def read(self, buckets: Iterable[Bucket]) -> dict[Bucket, ResidentBucket]:
        """Those of the buckets that are resident, each in full."""
        wanted = list(buckets)
        found: dict[Bucket, ResidentBucket] = {}
        for first in range(0, len(wanted), _BUCKETS_PER_READ):
            part = wanted[first : first + _BUCKETS_PER_READ]
            answers = await self._redis.run(
                "read",
                [redis_keys.VERSIONS, redis_keys.CHANGED, redis_keys.CLOSED],
                [redis_keys.TOTALS_PREFIX, redis_keys.COUNTS_PREFIX, *map(redis_keys.bucket_name, part)],
            )
            for bucket, answer in zip(part, answers, strict=True):
                if answer:
                    changed, closed, *content = answer
                    found[bucket] = ResidentBucket(_bucket_state(*content), int(float(changed)), bool(closed))
        return found

    async def resident(self, first_day: str, last_day: str) -> list[Bucket]:
        """The resident buckets of a range of days, both ends included, by day.

        Raises RecoveringError while Redis' state is not restored.
        """
        with translated():
            async with self._redis.client.pipeline(transaction=False) as pipe:
                pipe.exists(redis_keys.STATE)
                pipe.execute_command("ZRANGE", redis_keys.RESIDENT, f"[{first_day}", f"[{last_day};", "BYLEX")
                known, names = await pipe.execute()
        if not known:
            raise RecoveringError("Redis' state is not restored yet")
        return [redis_keys.bucket_of(name.decode()) for name in names]

    async def revision(self) -> Revision:
        """Raises RecoveringError while Redis' state is not restored."""
        with translated():
            async with self._redis.client.pipeline(transaction=False) as pipe:
                pipe.hmget(redis_keys.STATE, "archive", "snapshot", "settled", "restored")
                pipe.hmget(redis_keys.LANE, "owner", "sequence")
                (archive, snapshot, settled, restored), (owner, sequence) = await pipe.execute()
        if archive is None:
            raise RecoveringError("Redis' state is not restored yet")
        return Revision(owner or b"", sequence or b"", int(snapshot or 0), int(settled or 0), restored or b"")

    async def record_bytes(self) -> int:
        """Of the rejects and restatements that wait for the archive."""
        return int(await self._redis.command("HGET", redis_keys.STATE, "record_bytes") or 0)

    async def waiting_rejects(self) -> list[Reject]:
        """Those that the archive may not hold yet; read before the archive, so that none is missed."""
        packed = await self._redis.command("LRANGE", redis_keys.REJECTS, 0, -1)
        return [msgspec.json.decode(reject, type=Reject) for reject in packed]

    async def waiting_restatements(self) -> list[Restatement]:
        """Those that the archive may not hold yet; read before the archive, so that none is missed."""
        packed = await self._redis.command("LRANGE", redis_keys.RESTATEMENTS, 0, -1)
        return [msgspec.json.decode(restatement, type=Restatement) for restatement in packed]

    async def resident_count(self) -> int:
        return int(await self._redis.command("HLEN", redis_keys.VERSIONS))

    async def longest_unchanged(self, number: int) -> list[Bucket]:
        names = await self._redis.command("ZRANGE", redis_keys.CHANGED, 0, number - 1)
        return [redis_keys.bucket_of(name.decode()) for name in names]

    async def now_milliseconds(self) -> int:
        """Redis' clock, by which changes are stamped."""
        seconds, microseconds = await self._redis.command("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def snapshot(self, token: str, last: int | None = None) -> Snapshot | None:
        """Everything the archive does not hold yet, consistent; None when there is nothing.

        `last`: number of the snapshot before, if known. Another one in Redis means that it was set back: LaneLostError.
        """
        answer = await self._redis.run(
            "snapshot",
            [
                redis_keys.LANE,
                redis_keys.STATE,
                redis_keys.VERSIONS,
                redis_keys.DIRTY,
                redis_keys.CHANGED_SOURCES,
                redis_keys.REJECTS,
                redis_keys.RESTATEMENTS,
            ],
            [
                token,
                redis_keys.TOTALS_PREFIX,
                redis_keys.COUNTS_PREFIX,
                redis_keys.SOURCE_PREFIX,
                "" if last is None else last,
            ],
        )
        _refuse_lost(answer[0])
        if answer[0] == b"none":
            return None
        _, number, record_bytes, buckets, sources, rejects, restatements = answer
        return Snapshot(
            number=number,
            buckets=await asyncio.to_thread(_bucket_states, buckets),
            sources=[_archived_source(fields) for fields in sources],
            rejects=[msgspec.json.decode(reject, type=Reject) for reject in rejects],
            restatements=[msgspec.json.decode(each, type=Restatement) for each in restatements],
            record_bytes=record_bytes,
        )

    async def settle(self, token: str, snapshot: Snapshot) -> None:
        """Note that the archive holds a snapshot. May be called again after a lost reply."""
        arguments: list[Argument] = [
            token,
            snapshot.number,
            len(snapshot.rejects),
            len(snapshot.restatements),
            snapshot.record_bytes,
            len(snapshot.buckets),
        ]
        for bucket, state in snapshot.buckets.items():
            arguments += [redis_keys.bucket_name(bucket), state.version]
        for archived in snapshot.sources:
            arguments += [archived.source.id, archived.revision]
        answer = await self._redis.run(
            "settle",
            [
                redis_keys.LANE,
                redis_keys.STATE,
                redis_keys.VERSIONS,
                redis_keys.DIRTY,
                redis_keys.ARCHIVED,
                redis_keys.CHANGED_SOURCES,
                redis_keys.REJECTS,
                redis_keys.RESTATEMENTS,
            ],
            [*arguments, redis_keys.SOURCE_PREFIX],
        )
        _refuse_lost(answer)

    async def evict(self, token: str, buckets: Sequence[Bucket], unchanged_since_ms: int) -> int:
        """Delete those that the archive holds at the same version; how many went."""
        if not buckets:
            return 0
        gone = await self._redis.run(
            "evict",
            [
                redis_keys.LANE,
                redis_keys.VERSIONS,
                redis_keys.ARCHIVED,
                redis_keys.CHANGED,
                redis_keys.RESIDENT,
                redis_keys.CLOSED,
            ],
            [
                token,
                unchanged_since_ms,
                redis_keys.TOTALS_PREFIX,
                redis_keys.COUNTS_PREFIX,
                *map(redis_keys.bucket_name, buckets),
            ],
        )
        if gone < 0:
            raise LaneLostError("the queue's lane is lost")
        return int(gone)

    async def restore(
        self, token: str, archive: ArchiveState, sources: Sequence[ArchivedSource]
    ) -> tuple[int, int, int]:
        """Set Redis back to the archive's last snapshot: buckets, batches and other elements dropped."""
        arguments: list[Argument] = [
            token, archive.id, archive.snapshot, BATCH_MARK, QUEUE_SOURCE,
            redis_keys.TOTALS_PREFIX, redis_keys.COUNTS_PREFIX, redis_keys.SOURCE_PREFIX, len(sources),
            Position().to_json(),
        ]  # fmt: skip
        for archived in sources:
            fields = fields_of(_read_again(archived.source)) | {
                "order": archived.source.order,
                "revision": archived.revision,
            }
            arguments += [archived.source.id, 2 * len(fields)]
            arguments += [part for pair in fields.items() for part in pair]
        answer = await self._redis.run(
            "restore",
            [
                redis_keys.LANE, redis_keys.STATE, self._queue_key, redis_keys.VERSIONS, redis_keys.ARCHIVED,
                redis_keys.DIRTY, redis_keys.CHANGED, redis_keys.RESIDENT, redis_keys.SOURCES,
                redis_keys.CHANGED_SOURCES, redis_keys.REJECTS, redis_keys.RESTATEMENTS, redis_keys.CLOSED,
            ],
            arguments,
        )  # fmt: skip
        _refuse_lost(answer[0])
        return answer[1], answer[2], answer[3]


def _read_again(source: Source) -> Source:
    """As it is after a restore: what was queued and not applied is read once more."""
    if source.read == source.applied:
        return source
    return msgspec.structs.replace(source, read=source.applied, untouched=None)


def _refuse_lost(word: bytes) -> None:
    if word == b"lost":
        raise LaneLostError("the queue's lane is lost")


def _bucket_states(answers: list[Any]) -> dict[Bucket, BucketState]:
    return {redis_keys.bucket_of(name.decode()): _bucket_state(*content) for name, *content in answers}


def _bucket_state(version: bytes, totals: list[bytes], counts: bytes) -> BucketState:
    """From a hash's flat field/value list, and a JSON object of counts."""
    count_of = _COUNTS.decode(counts)
    texts = [text.decode() for text in totals]
    pairs = zip(texts[::2], texts[1::2], strict=True)
    return BucketState(int(version), {name: Cell(parse_total(total), count_of[name]) for name, total in pairs})


def _archived_source(pairs: list[bytes]) -> ArchivedSource:
    fields: dict[str, Any] = flat(pairs)
    source: Source = source_from(fields)
    return ArchivedSource(source, int(fields["revision"]))
