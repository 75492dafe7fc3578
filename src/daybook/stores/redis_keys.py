"""All Redis keys of Daybook; no other module spells one."""

from datetime import date

from daybook.domain.bucket import TYPES, Bucket
from daybook.domain.transaction import TransactionType

TOTALS_PREFIX = "agg:"
COUNTS_PREFIX = "count:"
SOURCE_PREFIX = "daybook:source:"
PREFIXES = {"totals_prefix": TOTALS_PREFIX, "counts_prefix": COUNTS_PREFIX, "source_prefix": SOURCE_PREFIX}
"""Fields of the scripts' documents: the scripts build the keys of buckets and sources from these and names."""

LANE = "daybook:lane"
"""Hash: owner, epoch, sequence of the last commit."""
LANE_LEASE = "daybook:lease:lane"
"""String: token of the lane's owner; expires."""
STATE = "daybook:state"
"""Hash: archive, snapshot, settled, restored, registry (version of the list of sources), queue (key of the queue),
queued_bytes, record_bytes, contributions (index of the first one that waits), contribution_bytes. It is absent while
Redis is not restored.
"""
VERSIONS = "daybook:versions"
"""Hash: bucket → version; a bucket is resident exactly when it has a field here."""
ARCHIVED = "daybook:archived"
"""Hash: bucket → version that the archive holds."""
DIRTY = "daybook:dirty"
"""Set of buckets that the archive does not hold at their version."""
CHANGED = "daybook:changed"
"""Sorted set: resident buckets by the time of their last change, in milliseconds since 1970."""
RESIDENT = "daybook:resident"
"""Sorted set of resident buckets, all at score 0, for ranges of days."""
SOURCES = "daybook:sources"
"""Set of the ids of all files' sources, without the queue's own."""
SOURCE_CHANGES = "daybook:source_changes"
"""Sorted set: id of a source by the version of the list of sources that added or moved it last."""
CHANGED_SOURCES = "daybook:changed_sources"
"""Set of the ids of sources with changes that the archive does not hold yet."""
CLOSED = "daybook:closed"
"""Set of resident buckets that are closed: each change of one is a restatement."""
EVICTED = "daybook:evicted"
"""String: bitmap of the buckets that the archive may hold while Redis does not; absent: not known.

`stores/evicted.py` tells more.
"""
REJECTS = "daybook:rejects"
"""List of rejects that wait for the archive."""
RESTATEMENTS = "daybook:restatements"
"""List of restatements that wait for the archive."""
CONTRIBUTIONS = "daybook:contributions"
"""List of contributions that wait for the archive, oldest first (`sources/contributions.py`)."""


def bucket_name(bucket: Bucket) -> str:
    """Return the name of a bucket, `2026-01-15:deposits`."""
    return f"{bucket.day}:{bucket.type}"


def bucket_of(name: str) -> Bucket:
    """Return the bucket of a name, as `bucket_name` makes it."""
    day, _, kind = name.rpartition(":")
    return Bucket(day, kind)


def place_of(bucket: Bucket) -> int:
    """Return the number of a bucket's bit in `EVICTED`. Raises ValueError for a day that the calendar does not have."""
    return (date.fromisoformat(bucket.day).toordinal() - 1) * len(TYPES) + TYPES.index(bucket.type)


def bucket_at(place: int) -> Bucket:
    """Return the bucket of a bit in `EVICTED`."""
    day, kind = divmod(place, len(TYPES))
    return Bucket(date.fromordinal(day + 1).isoformat(), TYPES[kind])


def totals(bucket: Bucket) -> str:
    return TOTALS_PREFIX + bucket_name(bucket)


def counts(bucket: Bucket) -> str:
    return COUNTS_PREFIX + bucket_name(bucket)


def source(source_id: str) -> str:
    """Return the key of a source.

    Hash: id, path, head, size, columns; checkpoint and ledger (byte offsets); read and applied (the positions at these
    offsets, as JSON); refused (JSON), rereads, untouched (stat as JSON, or empty), problem; contributed (byte
    offset); order and revision, which the scripts count; replaces, reverting, reverted (JSON), since, held (JSON) and
    sketch, where there is something in them. The source `queue` has only id, checkpoint, ledger, read, applied,
    refused, contributed and revision until a restore writes all fields.
    """
    return SOURCE_PREFIX + source_id


def source_lease(source_id: str) -> str:
    """Return the key of a source's lease. String: token of the importer that owns it; expires."""
    return f"daybook:lease:{source_id}"


def source_holder(source_id: str) -> str:
    """Return the key that names the last owner of a source's lease. Hash: owner, epoch."""
    return f"daybook:holder:{source_id}"


def all_totals() -> str:
    """Return the pattern of the keys of all totals, for `SCAN`."""
    return f"{TOTALS_PREFIX}*"


def totals_of_day(day: str) -> str:
    """Return the pattern of the keys of the totals of a day (`YYYY-MM-DD`), both types."""
    return f"{TOTALS_PREFIX}{day}:*"


def totals_of_month(month: str) -> str:
    """Return the pattern of the keys of the totals of a month (`YYYY-MM`)."""
    return f"{TOTALS_PREFIX}{month}-*"


def totals_of(day: str, kind: TransactionType) -> str:
    """Return the key of the totals of a day and type."""
    return totals(Bucket(day, kind.plural))


KINDS = {
    LANE: "hash",
    STATE: "hash",
    VERSIONS: "hash",
    ARCHIVED: "hash",
    DIRTY: "set",
    CHANGED: "zset",
    RESIDENT: "zset",
    SOURCES: "set",
    SOURCE_CHANGES: "zset",
    CHANGED_SOURCES: "set",
    CLOSED: "set",
    REJECTS: "list",
    RESTATEMENTS: "list",
    CONTRIBUTIONS: "list",
    EVICTED: "string",
    SOURCE_PREFIX: "hash",
    source_lease(""): "string",
    source_holder(""): "hash",
    TOTALS_PREFIX: "hash",
    COUNTS_PREFIX: "string",
}
"""Types of the keys, as `TYPE` names them: by key, or by the beginning of a key that names a source or a bucket."""


def kind_of(key: str) -> str:
    """Return the type that a key has when Daybook wrote it; `list` for the queue's, whose name is free."""
    begins = (start for start in KINDS if start.endswith(":") and key.startswith(start))
    return KINDS.get(key) or next((KINDS[start] for start in begins), "list")


def is_made_anew(key: str) -> bool:
    """Return whether nothing is lost with a key: Daybook makes leases, the index and the queue anew."""
    return key.startswith((EVICTED, source_lease(""), source_holder(""))) or not key.startswith(tuple(KINDS))


def is_lease(key: str) -> bool:
    return key.startswith(source_lease(""))
