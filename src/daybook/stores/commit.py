"""Commits: the one step in which elements leave the queue and their sums reach the buckets."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from daybook.domain.bucket import Bucket, BucketState
from daybook.domain.money import format_units
from daybook.domain.position import Position, Refused
from daybook.domain.reject import Reject
from daybook.domain.restatement import Restatement
from daybook.domain.reversal import Reversal
from daybook.domain.source import QUEUE_SOURCE
from daybook.errors import LaneLostError
from daybook.stores import redis_keys
from daybook.stores.connection import RedisConnection, text_of


class LedgerMove(NamedTuple):
    """The move of one source's ledger."""

    source: str
    expected: int
    """The ledger's offset before the commit."""
    position: Position
    """The ledger after the commit."""
    refused: Refused = Refused()
    """All refused rows before `position`."""
    drops_contributions: bool = False
    """The source has no contributions after this commit, whatever it had before."""

    @property
    def moves_checkpoint(self) -> bool:
        """Return whether the commit moves the checkpoint too: the queue's own source has no importer to do that."""
        return self.source == QUEUE_SOURCE


class BucketWrite(NamedTuple):
    """The new version of one bucket."""

    bucket: Bucket
    expected: int | None
    """The version that Redis must hold; None: the bucket must not be resident."""
    state: BucketState
    """The bucket's new version, in full."""
    changed: Sequence[str] | None = None
    """The payment methods whose totals are new; None: all of them, as when this write makes the bucket resident."""
    gone: Sequence[str] = ()
    """The payment methods that the bucket no longer has."""
    closed: bool = False
    """The bucket was evicted before."""
    expected_methods: int | None = None
    """The number of payment methods that Redis must hold of a resident bucket; None: any number."""


class ReversalEnd(NamedTuple):
    """The end of one source's reversal."""

    source: str
    reversal: Reversal
    problem: str
    """The reason why it was not made; empty when it was."""


class Commit(NamedTuple):
    """All that changes in one commit."""

    sequence: int
    """Number of this commit: one more than that of the last."""
    trim: int
    """Number of elements that leave the queue, oldest first."""
    freed_bytes: int
    """Bytes of the batches among these elements."""
    ledgers: Sequence[LedgerMove]
    buckets: Sequence[BucketWrite]
    rejects: Sequence[Reject]
    restatements: Sequence[Restatement] = ()
    reversal: ReversalEnd | None = None
    contributions: Sequence[bytes] | None = None
    """What the commit adds for its sources, each as `sources/contributions.record`; None: it is not kept."""
    moves_elements: bool = False
    """The elements that leave the queue say what the commit adds: they become its contributions, as they are."""


class Commits:
    """The commits of one lane. Only the owner of the lane's token can commit."""

    def __init__(self, redis: RedisConnection, queue_key: str) -> None:
        self._redis, self._queue_key = redis, queue_key

    async def sequence(self) -> int:
        """Return the number of the last commit; 0 before the first."""
        return int(await self._redis.command("HGET", redis_keys.LANE, "sequence") or 0)

    async def commit(self, token: str, commit: Commit) -> list[Bucket]:
        """Apply a commit exactly once. Call it again, unchanged, after a lost reply.

        Returns the buckets that are not as expected: nothing is written then.
        An empty list says that the commit is applied, now or by an earlier try.
        Raises LaneLostError when another owner took the lane or Redis was set back.
        """
        answer = await self._redis.run(
            "commit",
            [
                redis_keys.LANE, redis_keys.STATE, self._queue_key, redis_keys.VERSIONS, redis_keys.CHANGED,
                redis_keys.DIRTY, redis_keys.RESIDENT, redis_keys.CLOSED, redis_keys.CHANGED_SOURCES,
                redis_keys.REJECTS, redis_keys.RESTATEMENTS, redis_keys.CONTRIBUTIONS,
            ],
            token,
            await asyncio.to_thread(encode, commit),
        )  # fmt: skip
        match answer[0]:
            case b"ok" | b"done":
                return []
            case b"stale":
                return [redis_keys.bucket_of(name.decode()) for name in answer[1:]]
            case word:
                raise LaneLostError(f"the lane is lost ({word.decode()}): another owner took it, or Redis was set back")


def encode(commit: Commit) -> bytes:
    """Return the msgpack document that `commit.lua` reads."""
    rejects, restatements = (
        [msgspec.json.encode(record) for record in records] for records in (commit.rejects, commit.restatements)
    )
    contributions = commit.contributions or ()
    moved_bytes = commit.freed_bytes if commit.moves_elements else 0
    return msgspec.msgpack.encode(
        {
            **redis_keys.PREFIXES,
            "sequence": commit.sequence,
            "trim": commit.trim,
            "freed_bytes": commit.freed_bytes,
            "ledgers": [_ledger(move) for move in commit.ledgers],
            "buckets": [_bucket(write) for write in commit.buckets],
            "rejects": [text_of(record) for record in rejects],
            "restatements": [text_of(record) for record in restatements],
            "record_bytes": sum(map(len, rejects)) + sum(map(len, restatements)),
            "reversal": _reversal(commit.reversal) if commit.reversal else None,
            "keeps_contributions": commit.contributions is not None,
            "moves_elements": commit.moves_elements,
            "contributions": [text_of(each) for each in contributions],
            "contribution_bytes": moved_bytes + sum(map(len, contributions)),
        }
    )


def _ledger(move: LedgerMove) -> dict[str, str | bool]:
    return {
        "source": move.source,
        "expected": str(move.expected),
        "offset": str(move.position.offset),
        "position": move.position.to_json().decode(),
        "refused": move.refused.to_json().decode(),
        "moves_checkpoint": move.moves_checkpoint,
        "drops_contributions": move.drops_contributions,
    }


def _reversal(end: ReversalEnd) -> dict[str, str]:
    return {
        "source": end.source,
        "reversal": end.reversal.to_json().decode(),
        "problem": end.problem,
        "beginning": Position().to_json().decode(),
    }


def _bucket(write: BucketWrite) -> dict[str, str | int | bool | list[str] | msgspec.Raw | None]:
    cells = write.state.cells
    totals: list[str] = []
    for method in cells if write.changed is None else write.changed:
        totals += (method, format_units(cells[method].units))
    return {
        "name": redis_keys.bucket_name(write.bucket),
        "expected": "" if write.expected is None else str(write.expected),
        "expected_methods": write.expected_methods,
        "version": write.state.version,
        "totals": totals,
        "gone": list(write.gone),
        "counts": text_of(msgspec.json.encode({method: cell.transactions for method, cell in cells.items()})),
        "closed": write.closed,
    }
