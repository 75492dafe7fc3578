"""Rejected rows in both stores, and the corrections whose rows count nowhere."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from daybook.domain.reject import Correction, RejectedRow
from daybook.stores.consistent_read import consistent_read
from daybook.stores.redis_state import RedisState
from daybook.stores.stores import Stores


class Void(NamedTuple):
    """Corrections whose row counts nowhere."""

    unread: set[Correction]
    """Corrections that the importer noted, but whose rows it has not queued: they count once that file is read on."""

    so_far: set[Correction]
    """Corrections whose rows were refused, while their rejects wait in Redis for the archive."""
    for_ever: set[Correction]
    """Corrections whose rows were refused, with their rejects in the archive; or whose source was reverted or is in
    neither store. Such a source was lost by Redis before a dump; its file becomes known again as another source.
    """


async def rejected_among(rows: Iterable[RejectedRow], stores: Stores) -> tuple[set[RejectedRow], set[RejectedRow]]:
    """Return the rows whose reject waits in Redis, and the rows whose reject the archive holds.

    A row whose reject is archived during the call is in at least one of the two sets.
    """
    by_source: dict[str, set[int]] = {}
    for row in rows:
        by_source.setdefault(row.source, set()).add(row.line)
    if not by_source:
        return set(), set()
    waiting = {
        RejectedRow(reject.source, reject.line)
        for reject in await stores.hot.waiting_rejects()
        if reject.line in by_source.get(reject.source, ())
    }
    archived: set[RejectedRow] = set()
    for source, lines in by_source.items():
        archived |= {RejectedRow(source, line) for line in await stores.archive.rejected(source, lines)}
    return waiting, archived


async def void_among(corrections: Collection[Correction], stores: Stores) -> Void:
    """Return which of the corrections are void.

    Raises RecoveringError while this cannot be told: a Redis that is not restored does not know its sources.
    """
    if not corrections:
        return Void(set(), set(), set())
    before = await stores.hot.restored_state()
    by = {RejectedRow(each.by_source, each.by_line) for each in corrections}
    waiting, archived = await rejected_among(by, stores)
    sources = {source: await stores.sources.get(source) for source in {row.source for row in by}}
    unknown = {identifier for identifier, source in sources.items() if source is None}
    lost = await _not_archived(unknown, stores, before) if unknown else unknown
    void = Void(set(), set(), set())
    for each in corrections:
        row = RejectedRow(each.by_source, each.by_line)
        source = sources[row.source]
        if row in archived or row.source in lost or (source is not None and source.reverted is not None):
            void.for_ever.add(each)
        elif row in waiting:
            void.so_far.add(each)
        elif source is not None and source.read.line < row.line:
            void.unread.add(each)
    return void


async def _not_archived(sources: set[str], stores: Stores, before: RedisState) -> set[str]:
    """Return the ids of `sources` that the archive does not hold."""
    async with consistent_read(stores, before):
        return sources - {held.source.id for held in await stores.archive.sources()}
