"""Checks that Redis and the archive belong together, and restores Redis, before the lane works."""

import structlog

from daybook.errors import ConfigurationError
from daybook.stores.restore import restore
from daybook.stores.stores import Stores

log = structlog.get_logger("recovery")


async def recover(stores: Stores, token: str) -> None:
    """Open the archive, which finishes an interrupted write, and restore Redis when it is behind the archive.

    Raises ConfigurationError when the two do not belong together, because the totals would be wrong.
    """
    archive = stores.archive
    held, state = await archive.open(), await stores.hot.state()
    if state is not None and state.archive != held.id:
        raise ConfigurationError(
            f"Redis belongs to another archive than this {archive.name} archive: set the archive that belongs "
            "to it, or empty Redis to go on from this archive"
        )
    if state is not None and state.is_ahead_of(held.snapshot):
        raise ConfigurationError(
            f"the {archive.name} archive is older than Redis (its snapshot is {held.snapshot}, Redis has settled "
            f"{state.settled}): bring the newer archive back, or empty Redis to go on from this archive"
        )
    if state is not None:
        await _adopt_queue(stores, token)
        if not state.is_behind(held.snapshot):
            await stores.evicted.prepare(archive, token)
            return
    dropped = await restore(stores.redis, stores.queue.key, token, held, await archive.sources())
    await stores.evicted.prepare(archive, token)
    if held.snapshot:
        log.warning(
            "Redis was behind the archive and is restored; imports go on from there",
            snapshot=held.snapshot,
            dropped_buckets=dropped.buckets,
            dropped_batches=dropped.batches,
            dropped_elements=dropped.others,
        )


async def _adopt_queue(stores: Stores, token: str) -> None:
    """Take over the elements that wait under another key, when the queue's name has changed since the last owner."""
    former = await stores.requeue.former_queue()
    if former == stores.queue.key:
        return
    moved = await stores.requeue.adopt(token, former or stores.queue.key)
    if former is not None:
        log.warning("the queue has another name now", queue=stores.queue.key, former=former, moved_elements=moved)
