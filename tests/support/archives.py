"""What tests ask of an archive."""

from collections.abc import Mapping

from daybook.domain.bucket import Bucket, BucketState, HeldBucket


def states(found: Mapping[Bucket, HeldBucket]) -> dict[Bucket, BucketState]:
    """Without the time of writing."""
    return {bucket: archived.state for bucket, archived in found.items()}
