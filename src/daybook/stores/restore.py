"""The restore of Redis from the archive."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from daybook.domain.element import BATCH_MARK
from daybook.domain.position import Position
from daybook.domain.source import QUEUE_SOURCE, Source
from daybook.stores import redis_keys
from daybook.stores.archive import ArchivedSource, ArchiveState
from daybook.stores.connection import RedisConnection, text_of
from daybook.stores.dumps import raise_if_lost
from daybook.stores.source_fields import fields_of, pairs_of


class Dropped(NamedTuple):
    """The numbers of things that a restore dropped: the archive holds them, or the importer reads them again."""

    buckets: int
    """Resident buckets."""
    batches: int
    """Batches in the queue."""
    others: int
    """Elements of other producers whose rows the archive's totals already hold."""


async def restore(
    redis: RedisConnection, queue_key: str, token: str, archive: ArchiveState, sources: Sequence[ArchivedSource]
) -> Dropped:
    """Set Redis back to the archive's last snapshot. Raises LaneLostError when another owner took the lane."""
    request = {
        **redis_keys.PREFIXES,
        "id": archive.id,
        "snapshot": archive.snapshot,
        "contributions": archive.contributions,
        "queue_source": QUEUE_SOURCE,
        "batch_mark": text_of(BATCH_MARK),
        "beginning": Position().to_json().decode(),
        "sources": [_source(held) for held in sources],
    }
    answer = await redis.run(
        "restore",
        [
            redis_keys.LANE, redis_keys.STATE, queue_key, redis_keys.VERSIONS, redis_keys.ARCHIVED, redis_keys.DIRTY,
            redis_keys.CHANGED, redis_keys.RESIDENT, redis_keys.CLOSED, redis_keys.SOURCES,
            redis_keys.CHANGED_SOURCES, redis_keys.REJECTS, redis_keys.RESTATEMENTS, redis_keys.CONTRIBUTIONS,
            redis_keys.EVICTED,
        ],
        token,
        request,
    )  # fmt: skip
    raise_if_lost(answer[0])
    return Dropped(*answer[1:])


def _source(held: ArchivedSource) -> dict[str, Any]:
    order = held.source.order
    fields = fields_of(_at_ledger(held.source)) | {"order": order, "revision": held.revision}
    return {"id": held.source.id, "order": order, "fields": pairs_of(fields)}


def _at_ledger(source: Source) -> Source:
    """Return the source with its checkpoint at its ledger: rows queued but not applied are read again."""
    if source.read == source.applied:
        return source
    sketch = source.sketch if source.applied.offset else b""
    return msgspec.structs.replace(source, read=source.applied, untouched=None, sketch=sketch)
