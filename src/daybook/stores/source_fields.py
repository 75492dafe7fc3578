"""A source as the fields of its Redis hash, and as the archives keep it."""

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from daybook.domain.position import Position, Refused
from daybook.domain.reversal import Reversal
from daybook.domain.source import Held, Source, Stat
from daybook.stores.connection import Argument, text_of


def printable_bytes(text: str) -> bytes:
    """Return `text` as UTF-8; the bytes of a path that are not UTF-8 are written as escapes."""
    return text.encode("utf-8", "backslashreplace")


def flat(pairs: list[bytes]) -> dict[str, bytes]:
    """Return a flat field/value list of a Redis hash as a mapping."""
    return {pairs[i].decode(): pairs[i + 1] for i in range(0, len(pairs), 2)}


def fields_of(source: Source) -> dict[str, Argument]:
    """Return the fields of a source's Redis hash, without those that the scripts count or take away."""
    return _optional_fields(source) | {
        "id": source.id,
        "path": os.fsencode(source.path),
        "head": source.head,
        "checkpoint": source.read.offset,
        "read": source.read.to_json(),
        "ledger": source.applied.offset,
        "applied": source.applied.to_json(),
        "refused": source.refused.to_json(),
        "columns": msgspec.json.encode(source.columns),
        "contributed": source.contributed,
        "rereads": source.rereads,
        "size": source.size,
        "untouched": msgspec.json.encode(source.untouched) if source.untouched else "",
        "problem": printable_bytes(source.problem),
    }


def _optional_fields(source: Source) -> dict[str, Argument]:
    """Return the fields that are absent where there is nothing in them."""
    found: dict[str, Argument] = {
        "since": source.since,
        "held": msgspec.json.encode(source.held) if source.held else b"",
        "sketch": source.sketch,
        "profile": source.profile,
        "replaces": source.replaces,
        "reverted": source.reverted.to_json() if source.reverted else b"",
    }
    return {name: value for name, value in found.items() if value}


def held_from(text: bytes | None) -> Held | None:
    """Return the hold in a source's field `held`."""
    return msgspec.json.decode(text, type=Held) if text else None


def source_from(fields: Mapping[str, bytes]) -> Source:
    """Return the source of a Redis hash's fields; fields other than `id` may be missing."""

    def position(name: str) -> Position:
        return Position.from_json(fields[name]) if fields.get(name) else Position()

    def reversal(name: str) -> Reversal | None:
        return Reversal.from_json(fields[name]) if fields.get(name) else None

    untouched: Any = fields.get("untouched")
    return Source(
        id=fields["id"].decode(),
        path=os.fsdecode(fields.get("path", b"")),
        head=fields.get("head", b""),
        read=position("read"),
        applied=position("applied"),
        refused=Refused.from_json(fields["refused"]) if fields.get("refused") else Refused(),
        columns=msgspec.json.decode(fields.get("columns", b"[]"), type=tuple[str, ...]),
        contributed=int(fields.get("contributed", 0)),
        rereads=int(fields.get("rereads", 0)),
        size=int(fields.get("size", 0)),
        untouched=msgspec.json.decode(untouched, type=Stat) if untouched else None,
        problem=fields.get("problem", b"").decode(),
        order=int(fields.get("order", 0)),
        profile=fields.get("profile", b"").decode(),
        replaces=fields.get("replaces", b"").decode(),
        reverting=reversal("reverting"),
        reverted=reversal("reverted"),
        since=fields.get("since", b"").decode(),
        held=held_from(fields.get("held")),
        sketch=fields.get("sketch", b""),
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
