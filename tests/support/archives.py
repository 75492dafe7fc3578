"""Reads buckets of an archive for comparison."""

from collections.abc import Mapping

from daybook.domain.bucket import Bucket, BucketState, HeldBucket


def states(found: Mapping[Bucket, HeldBucket]) -> dict[Bucket, BucketState]:
    """Return the states of buckets, without the time of writing."""
    return {bucket: archived.state for bucket, archived in found.items()}
