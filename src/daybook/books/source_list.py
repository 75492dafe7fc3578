"""The list of sources for people: find one by its id or file, release or drop one that is held."""

from pathlib import Path

from msgspec import structs

from daybook.clock import moment_text, utc_now
from daybook.domain.source import Held, Source
from daybook.errors import NotHeldError, UnknownSourceError
from daybook.stores.held_sources import change_held
from daybook.stores.stores import Stores


def find_source(sources: list[Source], name: str) -> Source:
    """Return the source that `name` names: its id, the beginning of its id, or the path of its file.

    Of several sources of one path it is the last one that stands and is not held. Raises UnknownSourceError,
    also when several ids begin with `name`.
    """
    by_id = [source for source in sources if source.id == name]
    path = str(Path(name).expanduser().absolute())
    of_file = [source for source in sources if source.path == path and not source.is_replacement_to_come]
    not_reverted = [source for source in of_file if source.reverted is None]
    standing = [source for source in not_reverted if source.held is None]
    if found := by_id or standing[-1:] or not_reverted[-1:] or of_file[-1:]:
        return found[0]
    alike = [source for source in sources if name and source.id.startswith(name)]
    if len(alike) > 1:
        raise UnknownSourceError(f"{name}: {len(alike)} sources begin with it: {', '.join(each.id for each in alike)}")
    if not alike:
        raise UnknownSourceError(f"{name}: neither a source nor the file of one; `daybook sources` lists them")
    return alike[0]


async def release(stores: Stores, source_id: str) -> Source:
    """Let a held or dropped source be imported; return it. Raises UnknownSourceError, NotHeldError."""
    return await _change(stores, source_id, dropped=False)


async def drop(stores: Stores, source_id: str) -> Source:
    """Drop a held source: it stays listed and is never read. Return it. Raises UnknownSourceError, NotHeldError."""
    return await _change(stores, source_id, dropped=True)


async def _change(stores: Stores, source_id: str, *, dropped: bool) -> Source:
    source = await _get(stores, source_id)
    held = source.held
    if held is None:
        raise NotHeldError(f"source {source_id} is not held: its state is `{source.state}`")
    if dropped and held.dropped:
        return source
    now: Held | None = structs.replace(held, dropped=moment_text(utc_now())) if dropped else None
    if not await change_held(stores.redis, source, now):
        raise NotHeldError(f"source {source_id} was changed at the same moment: look at it and try again")
    return await _get(stores, source_id)


async def _get(stores: Stores, source_id: str) -> Source:
    source = await stores.sources.get(source_id)
    if source is None:
        await stores.sources.version()
        raise UnknownSourceError(f"no source {source_id!r}")
    return source
