"""One consistent read of Redis and the archive together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from daybook.errors import RecoveringError, StoreUnavailableError
from daybook.stores.redis_state import RedisState
from daybook.stores.stores import Stores


@asynccontextmanager
async def consistent_read(stores: Stores, before: RedisState) -> AsyncIterator[None]:
    """Check that the archive, read in the body, fits what was read from Redis since its state `before`.

    Raises RecoveringError after the body when they do not fit: Redis or the archive was set back, as from a backup,
    and the lane has not dealt with it yet.
    """
    held = await stores.archive.newest_snapshot()
    yield
    await _check(stores, before, held)


async def check_briefly(stores: Stores, before: RedisState) -> None:
    """Check as `consistent_read` does, after a reading of Redis alone, if the archive answers soon."""
    try:
        held = await stores.archive.newest_snapshot(briefly=True)
    except StoreUnavailableError:
        return
    await _check(stores, before, held)


async def _check(stores: Stores, before: RedisState, held: int) -> None:
    after = await stores.hot.restored_state()
    if after.is_behind(max(held, before.snapshot)) or after.restored != before.restored:
        raise RecoveringError("Redis is behind the archive and is being restored")
    if before.is_ahead_of(held):
        raise RecoveringError(f"the {stores.archive.name} archive is older than Redis")
