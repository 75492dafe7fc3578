"""The list of sources in Redis, and each source's fields."""

import asyncio
import os
from collections.abc import Iterable, KeysView, Mapping
from typing import NamedTuple

import msgspec
from redis.exceptions import ResponseError

from daybook.domain.reversal import Reversal
from daybook.domain.source import QUEUE_SOURCE, Held, Source, Stat
from daybook.errors import RecoveringError, RedisUnavailableError
from daybook.stores import redis_keys
from daybook.stores.connection import Argument, RedisConnection, text_of
from daybook.stores.lease import Lease
from daybook.stores.source_fields import fields_of, held_from, pairs_of, printable_bytes, source_from
from daybook.stores.source_index import SourceIndex
from daybook.stores.steady import read_steadily

_FEW = 100
"""Largest number of sources that are read from their hashes without a thread."""


class Version(NamedTuple):
    """Version of the list of sources: another one after each new source, moved file and restore."""

    number: int
    """Grows with each change; the order of the source that the change added."""
    restored: bytes = b""
    """Token of the owner that restored Redis last: a wiped Redis counts from the beginning again."""
    newest: bytes = b""
    """Source of the last change since then: tells apart versions of a Redis that was set back and went on."""


class KnownSources(NamedTuple):
    """Sources of one version of the list, without the queue's own."""

    version: Version
    """`register` compares it, so that no content is registered twice."""
    sources: list[Source]
    """The sources in the order in which they became known."""


class Progress(NamedTuple):
    checkpoint: int
    size: int
    held: Held | None = None


class SourceRegistry:
    """The list of sources; what identifies them is kept here and read again only when the list has changed."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis
        self._index = SourceIndex()
        self._catching_up = asyncio.Lock()
        self._indexed: Version | None = None
        """The list's version that the index holds; None: none yet."""

    async def known(self) -> KnownSources:
        """Return all files' sources, at least those of the version that is returned with them.

        Raises RecoveringError while Redis' state is not restored.
        """
        steady = await read_steadily(self._restored, self._versioned_sources)
        version, sources = steady.value
        if self._indexed != version:
            places = ((source.id, source.path, source.head) for source in sources)
            self._index, self._indexed = await asyncio.to_thread(SourceIndex, places), version
        return KnownSources(version, sorted(sources, key=lambda source: source.order))

    async def _restored(self) -> bytes:
        return (await self.version()).restored

    async def _versioned_sources(self) -> tuple[Version, list[Source]]:
        return await self.version(), await self._sources()

    async def _sources(self) -> list[Source]:
        return await self.some(await self._ids())

    async def near(self, path: str, head: bytes) -> KnownSources:
        """Return the sources that a file at `path` that begins with `head` can be, as they are now.

        When there is none, the list may have changed long since: `register` finds out.
        Raises RecoveringError while Redis' state is not restored.
        """
        version = self._indexed or await self._catch_up()
        ids, sources = set[str](), list[Source]()
        while (found := self._index.near(path, head)) != ids:
            ids, sources = found, await self.some(found)
            if await self.version() != version:
                version = await self._catch_up()
        return KnownSources(version, sorted(sources, key=lambda source: source.order))

    def version_with_no_more(self, path: str, head: bytes, known: KnownSources) -> Version | None:
        """Return the list's version as of the last look at it, if what `near` returned is still all that it would."""
        if self._indexed == known.version:
            return self._indexed
        return None if known.sources or self._index.near(path, head) else self._indexed

    def path_of(self, source_id: str) -> str | None:
        """Return the path of a source as of the last look at the list; None when it was not known then."""
        return self._index.path_of(source_id)

    async def progress(self) -> dict[str, Progress]:
        """Return how far each file's source is queued.

        Raises RecoveringError while Redis' state is not restored.
        """
        if await self.version() != self._indexed:
            await self._catch_up()
        fields = ("checkpoint", "size", "held")
        try:
            found = await self._redis.command(
                "SORT_RO", redis_keys.SOURCES, "BY", "nosort", "GET", "#",
                *(word for field in fields for word in ("GET", f"{redis_keys.source('*')}->{field}")),
            )  # fmt: skip
        except (ResponseError, RedisUnavailableError):  # it is only for users who may read every key
            ids = await self._ids()
            held = await self._redis.pipeline([("HMGET", redis_keys.source(each), *fields) for each in ids])
            found = [part for each, some in zip(ids, held, strict=True) for part in (each.encode(), *some)]
        return {
            source.decode(): Progress(int(checkpoint), int(size or 0), held_from(held))
            for source, checkpoint, size, held in zip(found[::4], found[1::4], found[2::4], found[3::4], strict=True)
            if checkpoint is not None
        }

    @property
    def indexed_ids(self) -> KeysView[str]:
        """The sources that were in the list at the last look at it."""
        return self._index.ids

    async def all(self) -> list[Source]:
        """Return all sources in the order in which they became known, the queue's own last.

        Raises RecoveringError while Redis' state is not restored.
        """
        queue = await self.get(QUEUE_SOURCE)
        return [*(await self.known()).sources, *([queue] if queue else ())]

    async def _ids(self) -> list[str]:
        return [each.decode() for each in await self._redis.command("SMEMBERS", redis_keys.SOURCES)]

    async def some(self, ids: Iterable[str]) -> list[Source]:
        """Return those of some sources that Redis knows."""
        answers = await self._redis.pipeline([("HGETALL", redis_keys.source(each)) for each in ids])
        held = [fields for fields in answers if fields]
        if len(held) <= _FEW:
            return _from_hashes(held)
        return await asyncio.to_thread(_from_hashes, held)

    async def version(self) -> Version:
        """Return the version of the list. Raises RecoveringError while Redis' state is not restored."""
        (number, restored), newest = await self._redis.pipeline(
            [("HMGET", redis_keys.STATE, "registry", "restored"), ("ZRANGE", redis_keys.SOURCE_CHANGES, -1, -1)]
        )
        if number is None:
            raise RecoveringError("Redis' state is not restored yet")
        return Version(int(number), restored or b"", newest[0] if newest else b"")

    async def _catch_up(self) -> Version:
        """Bring the index to the list's present version: by what has changed since, or by all of it."""
        async with self._catching_up:
            before, index = self._indexed, self._index
            now = await self.version()
            changed = await self._changes(before, now)
            if changed is None:
                index, changed = SourceIndex(), await self._ids()
            fields = ("path", "head")
            held = await self._redis.pipeline([("HMGET", redis_keys.source(each), *fields) for each in changed])
            for each, (path, head) in zip(changed, held, strict=True):
                if path:
                    index.put(each, os.fsdecode(path), head or b"")
            self._index, self._indexed = index, now
            return now

    async def _changes(self, version: Version | None, now: Version) -> list[str] | None:
        """Return the sources of all changes between; None when they are not all on record, or the list was set back."""
        if version is None or now.restored != version.restored or now.number < version.number:
            return None
        ids = await self._redis.command(
            "ZRANGE", redis_keys.SOURCE_CHANGES, version.number if version.newest else f"({version.number}",
            now.number, "BYSCORE",
        )  # fmt: skip
        begun = [version.newest] if version.newest else []
        if ids[: len(begun)] != begun or len(ids) != len(begun) + now.number - version.number:
            return None
        return [each.decode() for each in ids[len(begun) :]]

    async def get(self, source_id: str) -> Source | None:
        """Return a source; None when Redis does not know it."""
        fields = await self._redis.command("HGETALL", redis_keys.source(source_id))
        return _from_hash(fields) if fields else None

    async def checkpoint(self, source_id: str) -> int | None:
        """Return the offset of a source's checkpoint; None when Redis does not know the source, or no longer does."""
        found = await self._redis.command("HGET", redis_keys.source(source_id), "checkpoint")
        return None if found is None else int(found)

    async def register(self, source: Source, version: Version, lease: Lease | None = None) -> bool:
        """Add a source to the list, if the list is still at `version`; take its lease in the same step.

        Returns False when the list has changed since: identify the file again.
        Raises RecoveringError while Redis' state is not restored.
        """
        lease = lease or self.lease(source.id, 0.001)
        answer = await self._redis.run(
            "register",
            [
                redis_keys.STATE,
                redis_keys.SOURCES,
                redis_keys.source(source.id),
                redis_keys.CHANGED_SOURCES,
                redis_keys.SOURCE_CHANGES,
                *lease.keys,
            ],
            {
                "token": lease.token,
                "milliseconds": lease.milliseconds,
                "source": source.id,
                "version": str(version.number),
                "restored": text_of(version.restored),
                "newest": text_of(version.newest),
                "fields": pairs_of(fields_of(source)),
            },
        )
        if answer[0] == b"recovering":
            raise RecoveringError("Redis' state is not restored yet")
        if answer[0] != b"ok":
            await self._catch_up()
            return False
        if self._indexed == version:
            self._index.put(source.id, source.path, source.head)
            self._indexed = Version(version.number + 1, version.restored, source.id.encode())
        return True

    def lease(self, source_id: str, seconds: float) -> Lease:
        """Return a new owner for the lease of a source."""
        keys = redis_keys.source_lease(source_id), redis_keys.source_holder(source_id)
        return Lease(self._redis, *keys, seconds)

    async def update(
        self,
        source_id: str,
        *,
        path: str | None = None,
        size: int | None = None,
        problem: str | None = None,
        untouched: Stat | None = None,
        replaces: str | None = None,
        reverting: Reversal | None = None,
        release: Lease | None = None,
    ) -> None:
        """Set the given fields of a source, if Redis knows it; release a lease in the same step."""
        fields: dict[str, Argument] = {}
        if path is not None:
            fields["path"] = os.fsencode(path)
        if size is not None:
            fields["size"] = size
        if problem is not None:
            fields["problem"] = printable_bytes(problem)
        if untouched is not None:
            fields["untouched"] = msgspec.json.encode(untouched)
        if replaces is not None:
            fields["replaces"] = replaces
        if reverting is not None:
            fields["reverting"] = reverting.to_json()
        await self._redis.run(
            "update_source",
            [
                redis_keys.STATE,
                redis_keys.source(source_id),
                redis_keys.CHANGED_SOURCES,
                redis_keys.SOURCE_CHANGES,
                redis_keys.source_lease(source_id),
            ],
            {"source": source_id, "moved": path is not None, "fields": pairs_of(fields)}
            | ({"token": release.token} if release else {}),
        )

    async def end_reversal(self, source_id: str, mark: Reversal) -> None:
        """Take the mark of a reversal that is not queued off its source, if it is still there."""
        await self._redis.run(
            "update_source",
            [
                redis_keys.STATE,
                redis_keys.source(source_id),
                redis_keys.CHANGED_SOURCES,
                redis_keys.SOURCE_CHANGES,
                redis_keys.source_lease(source_id),
            ],
            {"source": source_id, "moved": False, "fields": [], "unmark": mark.to_json().decode()},
        )


def _from_hashes(hashes: Iterable[Mapping[bytes, bytes]]) -> list[Source]:
    return [_from_hash(fields) for fields in hashes]


def _from_hash(fields: Mapping[bytes, bytes]) -> Source:
    return source_from({name.decode(): value for name, value in fields.items()})
