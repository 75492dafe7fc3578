"""The contributions that wait in Redis, for reading."""

from typing import NamedTuple

from daybook.stores import redis_keys
from daybook.stores.connection import RedisConnection


class WaitingContributions(NamedTuple):
    """The contributions that the archive may not hold yet, as they are in Redis."""

    first: int
    """Index of the first one."""
    contents: list[bytes]


async def waiting_contributions(redis: RedisConnection) -> WaitingContributions:
    """Return the contributions that wait. Call this before reading the archive, to miss none."""
    first, contents = await redis.pipeline(
        [("HGET", redis_keys.STATE, "contributions"), ("LRANGE", redis_keys.CONTRIBUTIONS, 0, -1)], transaction=True
    )
    return WaitingContributions(int(first or 0), contents)
