"""Every Redis key of Daybook, spelled here and nowhere else."""

from daybook.domain.bucket import Bucket
from daybook.domain.transaction import TransactionType

TOTALS_PREFIX = "agg:"
COUNTS_PREFIX = "count:"
SOURCE_PREFIX = "daybook:source:"
PREFIXES = {"totals_prefix": TOTALS_PREFIX, "counts_prefix": COUNTS_PREFIX, "source_prefix": SOURCE_PREFIX}
"""For the scripts, which make the keys of buckets and sources from names."""

LANE = "daybook:lane"
"""Hash: owner, epoch, sequence of the last commit."""
LANE_LEASE = "daybook:lease:lane"
STATE = "daybook:state"
"""Hash: archive, snapshot, settled, restored, registry (version of the list of sources), queued_bytes, record_bytes.
Absent: not restored yet.
"""
VERSIONS = "daybook:versions"
"""Hash: bucket → version; a bucket is resident exactly when it has a field here."""
ARCHIVED = "daybook:archived"
"""Hash: bucket → version that the archive holds."""
DIRTY = "daybook:dirty"
"""Set of buckets that the archive does not hold at their version."""
CHANGED = "daybook:changed"
"""Sorted set: bucket by the time of its last change, in milliseconds."""
RESIDENT = "daybook:resident"
"""Sorted set of resident buckets, all at score 0, for ranges of days."""
SOURCES = "daybook:sources"
CHANGED_SOURCES = "daybook:changed_sources"
CLOSED = "daybook:closed"
"""Set of resident buckets that had left Redis before: each change of them is a restatement."""
REJECTS = "daybook:rejects"
"""List of rejects that wait for the archive."""
RESTATEMENTS = "daybook:restatements"
"""List of restatements that wait for the archive."""


def bucket_name(bucket: Bucket) -> str:
    return f"{bucket.day}:{bucket.type}"


def bucket_of(name: str) -> Bucket:
    day, _, kind = name.rpartition(":")
    return Bucket(day, kind)


def totals(bucket: Bucket) -> str:
    return TOTALS_PREFIX + bucket_name(bucket)


def counts(bucket: Bucket) -> str:
    return COUNTS_PREFIX + bucket_name(bucket)


def source(source_id: str) -> str:
    return SOURCE_PREFIX + source_id


def source_lease(source_id: str) -> str:
    return f"daybook:lease:{source_id}"


def source_holder(source_id: str) -> str:
    return f"daybook:holder:{source_id}"


def all_totals() -> str:
    """Pattern of all totals, for `SCAN`."""
    return f"{TOTALS_PREFIX}*"


def totals_of_day(day: str) -> str:
    """Pattern of both types of a day, `YYYY-MM-DD`."""
    return f"{TOTALS_PREFIX}{day}:*"


def totals_of_month(month: str) -> str:
    """Pattern of a month, `YYYY-MM`."""
    return f"{TOTALS_PREFIX}{month}-*"


def totals_of(day: str, kind: TransactionType) -> str:
    """The key of a day and type."""
    return totals(Bucket(day, kind.plural))
