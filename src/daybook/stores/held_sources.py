"""The sources that are held, and the sketches by which a file is held that was imported before."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from daybook.domain.source import Held, Source, Stat
from daybook.errors import RecoveringError
from daybook.stores import redis_keys
from daybook.stores.connection import RedisConnection, text_of
from daybook.stores.source_fields import pairs_of


class Sketched(NamedTuple):
    """The sketch of a source, as Redis holds it."""

    sketch: bytes
    complete: bool
    """True when the content is read to its end."""


async def read_sketches(redis: RedisConnection, ids: Iterable[str]) -> dict[str, Sketched]:
    """Return the sketches of those of some sources that Redis knows."""
    wanted = list(ids)
    fields = ("checkpoint", "size", "sketch")
    held = await redis.pipeline([("HMGET", redis_keys.source(each), *fields) for each in wanted])
    return {
        each: Sketched(sketch or b"", int(checkpoint) >= int(size or 0))
        for each, (checkpoint, size, sketch) in zip(wanted, held, strict=True)
        if checkpoint is not None
    }


async def change_held(
    redis: RedisConnection,
    source: Source,
    held: Held | None,
    looked_at: Stat | None = None,
    *,
    columns: Sequence[str] | None = None,
    profile: str | None = None,
) -> bool:
    """Set what a source is held for; None releases it. `looked_at` is the stat of the file that was looked at.

    `columns` and `profile` are those by which it was looked at.

    Returns False, with nothing written, when the source is not held for what `source` says, or is no longer known.
    Raises RecoveringError while Redis' state is not restored.
    """
    fields = {"untouched": msgspec.json.encode(looked_at)} if looked_at is not None else {}
    if columns is not None and profile is not None:
        fields |= {"columns": msgspec.json.encode(columns), "profile": profile.encode()}
    expected, wanted = (msgspec.json.encode(each) if each else b"" for each in (source.held, held))
    answer = await redis.run(
        "change_held",
        [redis_keys.STATE, redis_keys.source(source.id), redis_keys.CHANGED_SOURCES],
        {
            "source": source.id,
            "expected": text_of(expected),
            "held": text_of(wanted),
            "fields": pairs_of({"held": wanted, **fields}),
        },
    )
    if answer == b"recovering":
        raise RecoveringError("Redis' state is not restored yet")
    return bool(answer == b"ok")
