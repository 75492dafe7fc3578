"""The state of Redis beside the archive."""

from typing import NamedTuple


class RedisState(NamedTuple):
    """Facts that change whenever a total may have changed or Redis was restored."""

    archive: str
    """Id of the archive that Redis was used with."""
    snapshot: int
    """Number of the last snapshot that was taken."""
    settled: int
    """Number of the last snapshot that the archive is known to hold."""
    restored: bytes
    """Token of the owner that restored Redis last."""
    owner: bytes
    """Token of the lane's present owner."""
    sequence: bytes
    """Number of the last commit."""

    def is_behind(self, archived_snapshot: int) -> bool:
        """Return whether Redis was set back: it has not taken a snapshot that the archive holds."""
        return self.snapshot < archived_snapshot

    def is_ahead_of(self, archived_snapshot: int) -> bool:
        """Return whether the archive was set back: it does not hold a snapshot that Redis has settled."""
        return archived_snapshot < self.settled
