"""Identifies the source of a file and opens the file at that source's checkpoint."""

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from daybook.domain.source import Source, Stat
from daybook.failpoints import hit
from daybook.sources.identity import Identity, head_of, identify
from daybook.sources.reader import BlockReader
from daybook.sources.records import Header
from daybook.stores.lease import Lease
from daybook.stores.source_registry import KnownSources, SourceRegistry

log = structlog.get_logger("importer")


class Found(NamedTuple):
    """The stat of a file, and its source; None as source when the file holds no rows to register yet."""

    stat: Stat
    source: Source | None = None
    reader: BlockReader | None = None
    """The reader at the source's checkpoint; None when there is nothing to read at this path."""
    header: Header | None = None
    lease: Lease | None = None
    """The lease of a source that was registered just now; None: to be acquired."""


class Finder(NamedTuple):
    """Finds out which sources files are; many at a time."""

    sources: SourceRegistry
    registering: asyncio.Lock
    """Held while a file of this process is registered: the next one is compared with it."""
    lease_seconds: float
    complete: bool
    """True when a last line without a line end counts."""
    again: bool = False
    """True when the content of a reverted source is imported again, as a new source."""

    async def find(self, path: Path) -> Found:
        """Identify the file, register new content as a new source, and open a file that is not read to its end.

        The caller closes the reader. Raises SourceError when the file cannot be imported as it is.
        """
        while True:
            head = await asyncio.to_thread(head_of, path)
            known = await self.sources.near(str(path), head)
            standing = [each for each in known.sources if not (self.again and each.reverted)]
            identity, found = await asyncio.to_thread(_identify, path, standing, head, self.complete)
            source = identity.source
            if found is None:
                continue
            if identity.moved and source is not None:
                log.info("moved", source=source.id, was=source.path, file=str(path))
                await self.sources.update(source.id, path=str(path))
                continue
            if source is not None or found.header is None:
                return found
            new = _new_source(path, identity, found.header)
            lease = await self._register(new, head, known, found.reader)
            if lease is not None:
                _tell_new(path, new, identity, [each for each in known.sources if each.reverted and self.again])
                await _note_replaced(identity, self.sources)
                return found._replace(source=new, lease=lease)

    async def _register(
        self, new: Source, head: bytes, known: KnownSources, reader: BlockReader | None
    ) -> Lease | None:
        """Return the lease of the registered source; close the reader and return None when a further source that has
        become known meanwhile may be the file.
        """
        lease = self.sources.lease(new.id, self.lease_seconds)
        registered = False
        try:
            async with self.registering:
                while not registered and (version := self.sources.version_with_no_more(new.path, head, known)):
                    registered = await self.sources.register(new, version, lease)
        finally:
            if not registered and reader is not None:
                reader.close()
        return lease if registered else None


def _identify(path: Path, known: Sequence[Source], head: bytes, complete: bool) -> tuple[Identity, Found | None]:
    """Identify the file and open what is to be read of it; None when it no longer begins with `head`. Blocks."""
    identity = identify(path, known)
    hit("file.identified")
    source = identity.source
    own = source is not None and source.path == str(path)
    if identity.head != head and not (own and source and source.untouched == identity.stat):
        return identity, None
    if identity.waits or (source is not None and (not own or is_read(source, identity.stat) or is_closed(source))):
        return identity, Found(identity.stat, source)
    found = _open(path, identity, complete)
    hit("file.opened")
    return identity, found


def is_read(source: Source, stat: Stat) -> bool:
    """Return whether the source's own file, which has this stat now, is read to its end."""
    return source.untouched == stat and source.read.offset >= source.size


def is_closed(source: Source) -> bool:
    """Return whether nothing may be read from a source: it is or was reverted, or a reversal has to read it first."""
    return source.reverted is not None or source.reverting is not None or source.is_replacement_to_come


def _open(path: Path, identity: Identity, complete: bool) -> Found:
    reader = BlockReader(path, complete=complete)
    try:
        header = reader.header()
        if header is None:
            reader.close()
            return Found(identity.stat, identity.source)
        if identity.source is not None:
            reader.skip_to(identity.source.read.offset, identity.source.read.digest)
    except BaseException:
        reader.close()
        raise
    return Found(identity.stat, identity.source, reader, header)


def _new_source(path: Path, identity: Identity, header: Header) -> Source:
    fingerprint = hashlib.sha256(identity.head).hexdigest()[:12]
    return Source(
        id=f"{fingerprint}-{secrets.token_hex(4)}",
        path=str(path),
        head=identity.head,
        size=identity.size,
        columns=header.names,
    )


async def _note_replaced(identity: Identity, sources: SourceRegistry) -> None:
    old = identity.replaces
    if old is not None and old.read.offset < old.size:
        problem = f"{old.path}: another file replaced it before it was read to its end"
        await sources.update(old.id, problem=problem)


def _tell_new(path: Path, source: Source, identity: Identity, reverted: Sequence[Source]) -> None:
    for each in reverted:
        if each.reverted is not None and each.head == source.head:
            log.warning(
                "what begins like this file was reverted; it counts again as a new source",
                file=str(path),
                source=source.id,
                reverted=each.id,
                reverted_at=each.reverted.at,
            )
    if identity.replaces is not None:
        log.warning(
            "another file replaced this one; it is a new source",
            file=str(path),
            source=source.id,
            replaces=identity.replaces.id,
        )
    log.info("import begins", file=str(path), source=source.id, bytes=source.size)
