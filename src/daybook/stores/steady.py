"""Steady reading, in several steps, of values that other processes change meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

Mark = TypeVar("Mark")
Value = TypeVar("Value")


class Reading(NamedTuple, Generic[Mark, Value]):
    """A value, and the mark from before it was read."""

    mark: Mark
    value: Value
    steady: bool
    """True when the mark was the same before and after the value was read."""


async def read_steadily(
    mark: Callable[[], Awaitable[Mark]],
    read: Callable[[], Awaitable[Value]],
    *,
    tries: int | None = None,
    pause_seconds: float = 0.0,
) -> Reading[Mark, Value]:
    """Call `read` until the mark is the same before and after it, at most `tries` times; None: without a limit.

    Waits `pause_seconds` between two tries. After the last try the reading is returned even if it is not steady.
    """
    left = tries
    while True:
        before = await mark()
        value = await read()
        steady = before == await mark()
        left = None if left is None else left - 1
        if steady or left == 0:
            return Reading(before, value, steady)
        await asyncio.sleep(pause_seconds)
