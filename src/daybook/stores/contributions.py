"""The contributions that wait in Redis, for reading."""

from typing import NamedTuple

from daybook.stores import redis_keys
from daybook.stores.connection import RedisConnection, translated


class WaitingContributions(NamedTuple):
    """The contributions that the archive may not hold yet, as they are in Redis."""

    first: int
    """Index of the first one."""
    contents: list[bytes]


async def waiting_contributions(redis: RedisConnection) -> WaitingContributions:
    """Return the contributions that wait. Call this before reading the archive, to miss none."""
    with translated():
        async with redis.client.pipeline(transaction=True) as pipe:
            pipe.hget(redis_keys.STATE, "contributions")
            pipe.lrange(redis_keys.CONTRIBUTIONS, 0, -1)
            first, contents = await pipe.execute()
    return WaitingContributions(int(first or 0), contents)
