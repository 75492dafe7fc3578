"""What tests ask of an archive."""

from collections.abc import Mapping

from daybook.domain.bucket import Bucket, BucketState
from daybook.stores.archive import ArchivedBucket


def states(found: Mapping[Bucket, ArchivedBucket]) -> dict[Bucket, BucketState]:
    """Without the time of writing."""
    return {bucket: archived.state for bucket, archived in found.items()}
