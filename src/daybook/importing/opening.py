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
from daybook.stores.source_registry import SourceRegistry

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


async def find_source(path: Path, sources: SourceRegistry, *, complete: bool, lease_seconds: float) -> Found:
    """Identify the file, register new content as a new source, and open a file that is not read to its end.

    The caller closes the reader. Raises SourceError when the file cannot be imported as it is.
    """
    while True:
        head = await asyncio.to_thread(head_of, path)
        known = await sources.near(str(path), head)
        identity, found = await asyncio.to_thread(_identify, path, known.sources, head, complete)
        source = identity.source
        if found is None:
            continue
        if source is not None and source.path != str(path):
            if not identity.moved:
                return Found(identity.stat, source)
            log.info("moved", source=source.id, was=source.path, file=str(path))
            await sources.update(source.id, path=str(path))
            continue
        if source is None and found.header is not None:
            new = _new_source(path, identity, found.header)
            registered, lease = False, sources.lease(new.id, lease_seconds)
            try:
                registered = await sources.register(new, known.version, lease)
            finally:
                if not registered and found.reader is not None:
                    found.reader.close()
            if not registered:
                continue
            _tell_new(path, new, identity)
            await _note_replaced(identity, sources)
            return found._replace(source=new, lease=lease)
        return found


def _identify(path: Path, known: Sequence[Source], head: bytes, complete: bool) -> tuple[Identity, Found | None]:
    """Identify the file and open what is to be read of it; None when it no longer begins with `head`. Blocks."""
    identity = identify(path, known)
    hit("file.identified")
    source = identity.source
    own = source is not None and source.path == str(path)
    if identity.head != head and not (own and source and source.untouched == identity.stat):
        return identity, None
    if identity.waits or (source is not None and (not own or is_read(source, identity.stat))):
        return identity, Found(identity.stat, source)
    found = _open(path, identity, complete)
    hit("file.opened")
    return identity, found


def is_read(source: Source, stat: Stat) -> bool:
    """Return whether the source's own file, which has this stat now, is read to its end."""
    return source.untouched == stat and source.read.offset >= source.size


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


def _tell_new(path: Path, source: Source, identity: Identity) -> None:
    if identity.replaces is not None:
        log.warning(
            "another file replaced this one; it is a new source",
            file=str(path),
            source=source.id,
            replaces=identity.replaces.id,
        )
    log.info("import begins", file=str(path), source=source.id, bytes=source.size)
