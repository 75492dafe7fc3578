"""Identifies the source of a file and opens the file at that source's checkpoint."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog
from msgspec import structs

from daybook.clock import moment_text, utc_now
from daybook.domain.reject import REJECTED_SOURCE
from daybook.domain.source import Held, Source, Stat
from daybook.failpoints import hit
from daybook.importing.context import ImportContext, OpenFile
from daybook.importing.looking import Look
from daybook.importing.looking import look as look_at
from daybook.importing.pieces import Pieces
from daybook.sources.identity import Identity, head_of, identify
from daybook.sources.profile import Profile
from daybook.sources.profiles import corrected_source
from daybook.sources.reader import BlockReader
from daybook.sources.records import Header
from daybook.sources.sketch import unpack
from daybook.stores.held_sources import change_held
from daybook.stores.lease import Lease
from daybook.stores.source_registry import KnownSources, SourceRegistry

log = structlog.get_logger("importer")

ProfileOf = Callable[[Path, Source | None], Profile]
"""Tells the profile of a file and of the source that it holds, as `Profiles.of` does."""


class Found(NamedTuple):
    """The stat of a file, and its source; None as source when the file holds no rows to register yet."""

    stat: Stat
    source: Source | None = None
    reader: BlockReader | None = None
    """The reader at the source's checkpoint; None when there is nothing to read at this path."""
    header: Header | None = None
    lease: Lease | None = None
    """The lease of a source that was registered just now; None: to be acquired."""
    look: Look | None = None
    """The look at new content; None for a file of corrections, and when no questions are asked."""


class Finder:
    """Finds out which sources files are; many at a time."""

    def __init__(self, context: ImportContext) -> None:
        self._stores, self._options, self._questions = context.stores, context.options, context.questions
        self._sources, self._registering = context.stores.sources, context.registering

    async def find(self, path: Path) -> Found:
        """Identify the file, register new content as a new source, and open a file that is not read to its end.

        Nothing is read of a held source. It is looked at again when its file has changed.

        The caller closes the reader. Raises SourceError when the file cannot be imported as it is.
        """
        while True:
            head = await asyncio.to_thread(head_of, path)
            known = await self._sources.near(str(path), head)
            again = self._options.again
            standing = [each for each in known.sources if not (again and each.reverted)]
            profile_of = await self._profile_of(path, head)
            identity, found = await asyncio.to_thread(self._identify, path, standing, head, profile_of)
            source = identity.source
            if found is None:
                continue
            if identity.moved and source is not None:
                log.info("moved", source=source.id, was=source.path, file=str(path))
                await self._sources.update(source.id, path=str(path))
                continue
            if source is not None and await self._is_free(source):
                await self._sources.update(source.id, replaces="", problem="")
                continue
            if source is not None and source.held is not None:
                if await self._stays_held(source, found):
                    return Found(found.stat, source)
                continue
            if source is not None or found.header is None:
                return found
            new = await self._register(_new_source(path, identity, found), head, known, found)
            if new is not None:
                _tell_new(path, new.source, identity, [each for each in known.sources if each.reverted and again])
                await _note_replaced(identity, self._sources)
                return new

    async def _is_free(self, source: Source) -> bool:
        """Return whether a replacement to come has nothing to replace any more: it is then a file like all others."""
        if not source.is_replacement_to_come:
            return False
        replaced = await self._sources.get(source.replaces)
        return replaced is None or (replaced.reverted is not None and replaced.reverted.replaced_by != source.id)

    async def _profile_of(self, path: Path, head: bytes) -> ProfileOf:
        """Return what tells the file's profile. A file of corrections has that of the source whose rows it corrects."""
        if REJECTED_SOURCE.encode() not in head.lower():
            return self._options.profiles.of
        corrected = await asyncio.to_thread(corrected_source, path)
        if corrected is None:
            return self._options.profiles.of
        source = await self._sources.get(corrected)
        profile = Profile.from_json(source.profile if source else "").without_form()
        return lambda *_: profile

    async def _stays_held(self, source: Source, found: Found) -> bool:
        """Return whether a source stays held; release it when its file raises no question now. Closes the reader."""
        if found.reader is not None:
            found.reader.close()
        anyway = self._questions is None or self._questions.answers.anyway
        if found.reader is None and not anyway:
            return True
        async with self._registering:
            held = await self._question(found)
            if held is None:
                log.info("released", source=source.id, file=source.path)
            columns, profile = (found.header.names, found.header.profile) if found.header else (None, None)
            changed = await change_held(self._stores.redis, source, held, found.stat, columns=columns, profile=profile)
            return changed and held is not None

    async def _question(self, found: Found) -> Held | None:
        return await self._questions.about(found.look) if self._questions and found.look else None

    async def _register(self, new: Source, head: bytes, known: KnownSources, found: Found) -> Found | None:
        """Return what was found with the registered source, which may be held: it has no reader then. Close the reader
        and return None when a further source that has become known meanwhile may be the file.
        """
        lease = self._sources.lease(new.id, self._options.lease_seconds)
        registered = False
        try:
            async with self._registering:
                while not registered and (version := self._sources.version_with_no_more(new.path, head, known)):
                    held = await self._question(found)
                    new = structs.replace(new, held=held, untouched=found.stat if held else None)
                    registered = await self._sources.register(new, version, lease)
                if registered and not new.held and self._questions and found.look:
                    self._questions.learn(new.id, found.look.sketch)
        finally:
            if found.reader is not None and (new.held or not registered):
                found.reader.close()
        if registered and new.held:
            await lease.give_back()
            return Found(found.stat, new)
        return found._replace(source=new, lease=lease) if registered else None

    def _identify(
        self, path: Path, known: Sequence[Source], head: bytes, profile_of: ProfileOf
    ) -> tuple[Identity, Found | None]:
        """Identify the file and open what is to be read of it; None when it no longer begins with `head`. Blocks."""
        identity = identify(path, known)
        hit("file.identified")
        source = identity.source
        own = source is not None and source.path == str(path)
        if identity.head != head and not (own and source and source.untouched == identity.stat):
            return identity, None
        profile = profile_of(path, source)
        if identity.waits or (source is not None and (not own or _is_at_rest(source, identity.stat, profile))):
            return identity, Found(identity.stat, source)
        found = self._open(path, identity, profile)
        hit("file.opened")
        return identity, found

    def _open(self, path: Path, identity: Identity, profile: Profile) -> Found:
        source, look = identity.source, None
        reader = BlockReader(path, complete=self._options.complete, profile=profile)
        try:
            header = reader.header()
            if header is None:
                reader.close()
                return Found(identity.stat, source)
            is_new = source is None or source.held is not None
            if is_new and self._questions is not None and header.layout.rejected is None:
                source_id = source.id if source is not None else _new_id(identity)
                look = look_at(reader, header, source_id, self._options.limits, identity.size)
            if source is not None:
                reader.skip_to(source.read.offset, source.read.digest)
        except BaseException:
            reader.close()
            raise
        return Found(identity.stat, source, reader, header, look=look)


def _is_at_rest(source: Source, stat: Stat, profile: Profile) -> bool:
    """Return whether there is nothing to read of the source's own file, which has this stat and profile now."""
    if is_closed(source):
        return True
    if source.held is not None:
        same = source.untouched == stat and profile.is_like(Profile.from_json(source.profile))
        return bool(source.held.dropped) or same
    return is_read(source, stat)


def is_read(source: Source, stat: Stat) -> bool:
    """Return whether the source's own file, which has this stat now, is read to its end."""
    return source.untouched == stat and source.read.offset >= source.size


def is_closed(source: Source) -> bool:
    """Return whether nothing may be read from a source: it is or was reverted, or a reversal has to read it first."""
    return source.reverted is not None or source.reverting is not None or source.is_replacement_to_come


def _new_id(identity: Identity) -> str:
    fingerprint = hashlib.sha256(identity.head).hexdigest()[:12]
    return f"{fingerprint}-{secrets.token_hex(4)}"


def _new_source(path: Path, identity: Identity, found: Found) -> Source:
    return Source(
        id=found.look.source if found.look else _new_id(identity),
        path=str(path),
        head=identity.head,
        size=identity.size,
        columns=found.header.names if found.header else (),
        profile=found.header.profile if found.header else "",
        since=moment_text(utc_now()),
    )


async def _note_replaced(identity: Identity, sources: SourceRegistry) -> None:
    old = identity.replaces
    if old is not None and old.read.offset < old.size:
        problem = f"{old.path}: another file replaced it before it was read to its end"
        await sources.update(old.id, problem=problem)


def _tell_new(path: Path, source: Source | None, identity: Identity, reverted: Sequence[Source]) -> None:
    assert source is not None
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
    if source.held is not None:
        log.warning(
            "held: nothing is read from it until `daybook sources release`",
            file=str(path),
            source=source.id,
            reason=source.held.reason,
            shown_by_command=True,
        )
        return
    log.info("import begins", file=str(path), source=source.id, bytes=source.size)


def open_file(
    context: ImportContext, found: Found, reader: BlockReader, header: Header, source: Source, lease: Lease
) -> OpenFile:
    """Return a file that is open at its source's checkpoint, as `Finder` found it, with the source's lease."""
    options = context.options
    pieces = Pieces(
        reader, header, source.id, options.limits, context.slots, options.block_bytes, context.pool,
        context.correcting, found.look,
    )  # fmt: skip
    return OpenFile(
        reader=reader,
        lease=lease,
        cutting=pieces,
        source=source.id,
        position=source.read,
        stat=found.stat,
        pieces=pieces.after(source.read, options.replay_speed),
        renew_at=time.monotonic() + options.lease_seconds / 3,
        sketch=unpack(source.sketch),
    )
