"""The list of sources in Redis, and each source's fields."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from daybook.domain.position import Position, Refused
from daybook.domain.source import QUEUE_SOURCE, Source, Stat
from daybook.errors import RecoveringError
from daybook.stores import redis_keys
from daybook.stores.connection import Argument, RedisConnection, text_of, translated
from daybook.stores.steady import read_steadily


class KnownSources(NamedTuple):
    """All sources but the queue's own, as of one version of the list."""

    version: int
    """Version of the list: grows with each new source and moved file. `register` compares it, so that no content is
    registered twice.
    """
    sources: list[Source]
    """The sources in the order in which they became known."""


class _Version(NamedTuple):
    number: int
    restored: bytes
    """Token of the owner that restored Redis last: a wiped Redis counts versions from the beginning again."""


class SourceRegistry:
    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis

    async def known(self) -> KnownSources:
        """Return all files' sources and the version of the list, read together.

        Raises RecoveringError while Redis' state is not restored.
        """
        steady = await read_steadily(self._version, self._sources)
        return KnownSources(steady.mark.number, sorted(steady.value, key=lambda source: source.order))

    async def all(self) -> list[Source]:
        """Return all sources in the order in which they became known, the queue's own last.

        Raises RecoveringError while Redis' state is not restored.
        """
        queue = await self.get(QUEUE_SOURCE)
        return [*(await self.known()).sources, *([queue] if queue else ())]

    async def _sources(self) -> list[Source]:
        ids = await self._redis.command("SMEMBERS", redis_keys.SOURCES)
        with translated():
            async with self._redis.client.pipeline(transaction=False) as pipe:
                for identifier in ids:
                    pipe.hgetall(redis_keys.source(identifier.decode()))
                answers = await pipe.execute()
        return [_from_hash(fields) for fields in answers if fields]

    async def version(self) -> int:
        """Return the version of the list: it grows with each new source, moved file and restore.

        Raises RecoveringError while Redis' state is not restored.
        """
        return (await self._version()).number

    async def _version(self) -> _Version:
        number, restored = await self._redis.command("HMGET", redis_keys.STATE, "registry", "restored")
        if number is None:
            raise RecoveringError("Redis' state is not restored yet")
        return _Version(int(number), restored or b"")

    async def get(self, source_id: str) -> Source | None:
        """Return a source; None when Redis does not know it."""
        fields = await self._redis.command("HGETALL", redis_keys.source(source_id))
        return _from_hash(fields) if fields else None

    async def checkpoint(self, source_id: str) -> int | None:
        """Return the offset of a source's checkpoint; None when Redis does not know the source, or no longer does."""
        found = await self._redis.command("HGET", redis_keys.source(source_id), "checkpoint")
        return None if found is None else int(found)

    async def register(self, source: Source, version: int) -> bool:
        """Add a source to the list, if the list is still at `version`.

        Returns False when the list has changed since: identify the file again.
        Raises RecoveringError while Redis' state is not restored.
        """
        answer = await self._redis.run(
            "register",
            [
                redis_keys.STATE,
                redis_keys.SOURCES,
                redis_keys.source(source.id),
                redis_keys.CHANGED_SOURCES,
            ],
            {"source": source.id, "sources_version": str(version), "fields": pairs_of(fields_of(source))},
        )
        if answer[0] == b"recovering":
            raise RecoveringError("Redis' state is not restored yet")
        return bool(answer[0] == b"ok")

    async def update(
        self,
        source_id: str,
        *,
        path: str | None = None,
        size: int | None = None,
        problem: str | None = None,
        untouched: Stat | None = None,
    ) -> None:
        """Set the given fields of a source; do nothing when Redis does not know the source."""
        fields: dict[str, Argument] = {}
        if path is not None:
            fields["path"] = os.fsencode(path)
        if size is not None:
            fields["size"] = size
        if problem is not None:
            fields["problem"] = _printable(problem)
        if untouched is not None:
            fields["untouched"] = msgspec.json.encode(untouched)
        await self._redis.run(
            "update_source",
            [redis_keys.STATE, redis_keys.source(source_id), redis_keys.CHANGED_SOURCES],
            {"source": source_id, "moved": path is not None, "fields": pairs_of(fields)},
        )


def _from_hash(fields: Mapping[bytes, bytes]) -> Source:
    return source_from({name.decode(): value for name, value in fields.items()})


def _printable(text: str) -> bytes:
    """Return `text` as UTF-8; the bytes of a path that are not UTF-8 are written as escapes."""
    return text.encode("utf-8", "backslashreplace")


def flat(pairs: list[bytes]) -> dict[str, bytes]:
    """Return a flat field/value list of a Redis hash as a mapping."""
    return {pairs[i].decode(): pairs[i + 1] for i in range(0, len(pairs), 2)}


def fields_of(source: Source) -> dict[str, Argument]:
    """Return the fields of a source's Redis hash, without `order` and `revision`, which the scripts count."""
    return {
        "id": source.id,
        "path": os.fsencode(source.path),
        "head": source.head,
        "checkpoint": source.read.offset,
        "read": source.read.to_json(),
        "ledger": source.applied.offset,
        "applied": source.applied.to_json(),
        "refused": source.refused.to_json(),
        "columns": msgspec.json.encode(source.columns),
        "rereads": source.rereads,
        "size": source.size,
        "untouched": msgspec.json.encode(source.untouched) if source.untouched else "",
        "problem": _printable(source.problem),
    }


def source_from(fields: Mapping[str, bytes]) -> Source:
    """Return the source of a Redis hash's fields; fields other than `id` may be missing."""

    def position(name: str) -> Position:
        return Position.from_json(fields[name]) if fields.get(name) else Position()

    untouched: Any = fields.get("untouched")
    return Source(
        id=fields["id"].decode(),
        path=os.fsdecode(fields.get("path", b"")),
        head=fields.get("head", b""),
        read=position("read"),
        applied=position("applied"),
        refused=Refused.from_json(fields["refused"]) if fields.get("refused") else Refused(),
        columns=msgspec.json.decode(fields.get("columns", b"[]"), type=tuple[str, ...]),
        rereads=int(fields.get("rereads", 0)),
        size=int(fields.get("size", 0)),
        untouched=msgspec.json.decode(untouched, type=Stat) if untouched else None,
        problem=fields.get("problem", b"").decode(),
        order=int(fields.get("order", 0)),
    )


def pairs_of(fields: Mapping[str, Argument]) -> list[str | msgspec.Raw]:
    """Return a flat field/value list for `HSET`, numbers as text: Lua's numbers are exact only below 2^53."""
    return [text_of(part) if isinstance(part, bytes) else str(part) for pair in fields.items() for part in pair]


def pack_source(source: Source) -> bytes:
    """Return a source as the archives keep it: a msgpack map of its Redis fields and `order`."""
    fields = fields_of(source) | {"order": source.order}
    return msgspec.msgpack.encode(
        {name: value if isinstance(value, bytes) else str(value).encode() for name, value in fields.items()}
    )


def unpack_source(packed: bytes) -> Source:
    """Return the source that `pack_source` packed."""
    return source_from(msgspec.msgpack.decode(packed, type=dict[str, bytes]))
