"""A consistent read of Redis and the archive together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from daybook.errors import RecoveringError
from daybook.stores.redis_state import RedisState
from daybook.stores.stores import Stores


@asynccontextmanager
async def consistent_read(stores: Stores, before: RedisState) -> AsyncIterator[None]:
    """Read from the archive inside what belongs to what was read from Redis since its state `before`.

    Raises RecoveringError at the end when the two do not belong together, because one of them was set back, as from
    a backup, and nobody has found out yet.
    """
    held = await stores.archive.newest_snapshot()
    yield
    after = await stores.hot.restored_state()
    if after.is_behind(max(held, before.snapshot)) or after.restored != before.restored:
        raise RecoveringError("Redis is behind the archive and is being restored")
    if before.is_ahead_of(held):
        raise RecoveringError(f"the {stores.archive.name} archive is older than Redis")
