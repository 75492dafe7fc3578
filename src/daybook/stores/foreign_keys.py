"""Keys of Daybook under which another program wrote a value of another type, named before a script writes anything."""

from collections.abc import Iterable
from typing import Any

from redis.asyncio import Redis

from daybook.errors import ForeignKeyError
from daybook.stores import redis_keys

_MARK = "FOREIGN"
"""First word of the errors that Daybook's scripts answer: the mark, the key, what it holds."""
_WRONG_TYPE = "WRONGTYPE"
"""A word of the server's own error. It names no key."""
_PER_PIPELINE = 500
_NAMES = {"zset": "sorted set", "string without expiry": "value that never expires"}
_REMEDY = (
    "put the right value back, or empty Redis: then Daybook goes on from the archive, without what other producers "
    "pushed since the last dump"
)


def guarded(script: str) -> str:
    """Return a script that first compares the types of its keys, because a script that fails half-way stays half done.

    Keys that it builds itself and the queue's, whose name is free, are the script's own to read before it writes.
    """
    kinds = ", ".join(f"['{name}'] = '{kind}'" for name, kind in redis_keys.KINDS.items())
    return _GUARD.replace("KINDS", kinds).replace("MARK", _MARK) + script


_GUARD = """
do
  local kinds = {KINDS}
  for _, key in ipairs(KEYS) do
    local kind = kinds[key] or kinds[string.match(key, '^%a+:%a+:') or '']
    local found = kind and redis.call('TYPE', key).ok
    if found and found ~= kind and found ~= 'none' then
      return redis.error_reply('MARK ' .. key .. ' ' .. found)
    end
  end
end
"""


async def foreign_key(client: Redis, error: Exception, keys: Iterable[str]) -> ForeignKeyError | None:
    """Return what is wrong when `error` says that a key has another type; None for any other error.

    `keys` are those of the command. A script also reads the sources of the list: when none of `keys` is the one, all
    sources are looked at.
    """
    text = str(error)
    if text.startswith(f"{_MARK} "):
        _, key, found = text.split(" ", 2)
        return _named(key, found)
    if _WRONG_TYPE not in text:
        return None
    if (named := await first_foreign(client, [*keys, redis_keys.SOURCES])) is not None:
        return named
    ids: Any = await client.smembers(redis_keys.SOURCES)
    named = await first_foreign(client, (redis_keys.source(each.decode()) for each in ids))
    return named or ForeignKeyError("a key of Daybook in Redis had another type for a moment: another program wrote it")


async def first_foreign(client: Redis, keys: Iterable[str]) -> ForeignKeyError | None:
    """Return what is wrong with the first of the keys that has another type than Daybook's; None when all are right."""
    names = list(dict.fromkeys(keys))
    for first in range(0, len(names), _PER_PIPELINE):
        some = names[first : first + _PER_PIPELINE]
        async with client.pipeline(transaction=False) as pipe:
            for name in some:
                pipe.type(name)
            found = [kind.decode() for kind in await pipe.execute()]
        for name, kind in zip(some, found, strict=True):
            if kind not in (redis_keys.kind_of(name), "none"):
                return _named(name, kind)
    return None


def _named(key: str, found: str) -> ForeignKeyError:
    kind = redis_keys.kind_of(key)
    holds, own = _NAMES.get(found, found), "lease" if redis_keys.is_lease(key) else _NAMES.get(kind, kind)
    remedy = "delete it" if redis_keys.is_made_anew(key) else _REMEDY
    return ForeignKeyError(f"Redis key {key} holds a {holds}, not a {own}: another program wrote it; {remedy}", key)
