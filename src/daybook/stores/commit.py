"""What one commit changes, and how `commit.lua` is told."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from daybook.domain.bucket import Bucket, BucketState
from daybook.domain.money import format_units
from daybook.domain.position import Position, Refused, Reject
from daybook.domain.restatement import Restatement
from daybook.domain.source import QUEUE_SOURCE
from daybook.stores import redis_keys
from daybook.stores.connection import Argument


class LedgerMove(NamedTuple):
    source: str
    expected: int
    """The ledger's offset before."""
    position: Position
    refused: Refused = Refused()
    """Of all rows before the new position."""

    @property
    def moves_checkpoint(self) -> bool:
        """The importer moves a file's checkpoint; nobody else moves that of the queue's own source."""
        return self.source == QUEUE_SOURCE


class BucketWrite(NamedTuple):
    bucket: Bucket
    expected: int | None
    """The version that Redis must hold; None: not resident."""
    state: BucketState
    """The bucket's new version, in full."""
    changed: Sequence[str] | None = None
    """The payment methods whose totals are new; None: all of them, as when the bucket becomes resident by this."""
    closed: bool = False
    """It had left Redis before."""


class Commit(NamedTuple):
    sequence: int
    trim: int
    """Elements that leave the queue's end."""
    freed_bytes: int
    """Bytes of the batches among them."""
    ledgers: Sequence[LedgerMove]
    buckets: Sequence[BucketWrite]
    rejects: Sequence[Reject]
    restatements: Sequence[Restatement] = ()


def script_arguments(commit: Commit, token: str, queue_key: str) -> tuple[list[str], list[Argument]]:
    """The script's keys and arguments, in the order that it documents."""
    records = [msgspec.json.encode(record) for record in (*commit.rejects, *commit.restatements)]
    keys = [
        redis_keys.LANE, redis_keys.STATE, queue_key, redis_keys.VERSIONS, redis_keys.CHANGED,
        redis_keys.DIRTY, redis_keys.RESIDENT, redis_keys.CHANGED_SOURCES, redis_keys.REJECTS,
        redis_keys.RESTATEMENTS, redis_keys.CLOSED,
        *(redis_keys.source(move.source) for move in commit.ledgers),
    ]  # fmt: skip
    arguments: list[Argument] = [
        token, commit.sequence, commit.trim, commit.freed_bytes, sum(map(len, records)),
        len(commit.ledgers), len(commit.buckets), len(commit.rejects), len(commit.restatements),
    ]  # fmt: skip
    for move in commit.ledgers:
        position = move.position
        arguments += [
            move.source, move.expected, position.offset, position.to_json(), move.refused.to_json(),
            int(move.moves_checkpoint),
        ]  # fmt: skip
    for write in commit.buckets:
        keys += [redis_keys.totals(write.bucket), redis_keys.counts(write.bucket)]
        arguments += _bucket_arguments(write)
    return keys, [*arguments, *records]


def _bucket_arguments(write: BucketWrite) -> list[Argument]:
    cells = write.state.cells
    changed = cells if write.changed is None else write.changed
    arguments: list[Argument] = [
        redis_keys.bucket_name(write.bucket),
        "" if write.expected is None else write.expected,
        write.state.version,
        len(changed),
        msgspec.json.encode({method: cell.transactions for method, cell in cells.items()}),
        int(write.closed),
    ]
    for method in changed:
        arguments += (method, format_units(cells[method].units))
    return arguments
