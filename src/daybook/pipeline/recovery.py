"""Brings Redis and the archive together before anybody consumes."""

import structlog

from daybook.errors import ConfigurationError
from daybook.stores.archive import Archive
from daybook.stores.hot_aggregates import HotAggregates

log = structlog.get_logger("recovery")


async def recover(hot: HotAggregates, archive: Archive, token: str) -> None:
    """Open the archive (which finishes an interrupted write) and restore Redis if it is behind it.

    Raises ConfigurationError when the two do not belong together: going on would answer with wrong totals.
    """
    held = await archive.open()
    state = await hot.state()
    if state is not None and state.archive != held.id:
        raise ConfigurationError(
            f"Redis was used with another archive than this {archive.name} one: name the one that belongs "
            "to it, or empty Redis to go on from this archive"
        )
    if state is not None and state.settled > held.snapshot:
        raise ConfigurationError(
            f"the {archive.name} archive is older than Redis (snapshot {held.snapshot}, Redis knows of "
            f"{state.settled}): restore the newer archive, or empty Redis to go on from this one"
        )
    if state is not None and state.snapshot >= held.snapshot:
        return
    buckets, batches, others = await hot.restore(token, held, await archive.sources())
    if held.snapshot:
        log.warning(
            "Redis was behind the archive and is restored; files are read on from there",
            snapshot=held.snapshot,
            dropped_buckets=buckets,
            dropped_batches=batches,
            dropped_elements=others,
        )
