"""Reading in several steps what others change meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

Mark = TypeVar("Mark")
Value = TypeVar("Value")


class Reading(NamedTuple, Generic[Mark, Value]):
    mark: Mark
    value: Value
    steady: bool
    """The mark was the same before and after the value was read."""


async def read_steadily(
    mark: Callable[[], Awaitable[Mark]],
    read: Callable[[], Awaitable[Value]],
    *,
    tries: int | None = None,
    pause_seconds: float = 0.0,
) -> Reading[Mark, Value]:
    """Read again until the mark stays the same meanwhile, at most `tries` times; None: until it does."""
    left = tries
    while True:
        before = await mark()
        value = await read()
        steady = before == await mark()
        left = None if left is None else left - 1
        if steady or left == 0:
            return Reading(before, value, steady)
        await asyncio.sleep(pause_seconds)
